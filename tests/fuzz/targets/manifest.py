# SPDX-License-Identifier: MIT
"""strata/units/manifest.py: any TOML is a manifest that can be rendered, or an error that names the file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from targets.unit_shape import PLACES, fits

import strata
from strata.errors import InvalidArgument
from strata.units import manifest, properties, render, text
from strata.units.manifest import ManifestError
from strata.units.model import Manifest

INSTRUMENT = ("strata.units", "strata.values", "tomllib")
_CORE = [path.read_bytes() for path in sorted((Path(strata.__file__).parent / "services").glob("*.toml"))]
SEEDS = (
    *_CORE,
    b'command = ["/usr/bin/sleep", "5"]\n',
    b'command = ["x"]\nafter = ["a", "b"]\n[socket]\nlisten = "/run/x"\nmode = "0660"\n'
    b'[health]\nkind = "exec"\ncommand = ["t"]\n',
    b'command = ["x"]\n[health]\nkind = "http"\nurl = "http://[::1]:80/h"\ninterval = 1.5\nfailures = 3\n',
    b'command = ["x"]\n[health]\nkind = "tcp"\ntarget = "[::1]:80"\n'
    b'[restart]\nbackoff = "1s"\ncrashes = 3\nwindow = "1min"\n',
    b'command = ["x"]\n[limits]\nmemory_max = "1.5G"\ncpu_quota = "150%"\ntasks_max = 12\nio_weight = 100\n',
    b'command = ["x"]\n[unit.Service]\nEnvironment = ["A=b", "C=%n"]\nNice = 5\nProtectSystem = "strict"\n',
    b'command = ["x"]\nstate_directory = true\nprofile = "sealed"\n[environment]\nA = "$b %n"\n'
    b'[credentials]\nk = "/etc/k"\n',
)
DICTIONARY = (
    *(key.encode() for key in manifest._MANIFEST),
    *(
        key.encode()
        for table in (manifest._SOCKET, manifest._HEALTH, manifest._RESTART, manifest._LIMITS)
        for key in table
    ),
    *(
        b"[unit.Unit]",
        b"[unit.Service]",
        b"[unit.Socket]",
        b"[unit.Install]",
        b"ExecStartPre",
        b"Environment",
        b"ListenStream",
    ),
    *(
        b'"infinity"',
        b"true",
        b"1e400",
        b"nan",
        b"0x" + b"f" * 20,
        b"1979-05-27T07:32:00Z",
        b"${name}",
        b"${python}",
        b"%n",
    ),
    *(b'"""', b"'''", b"\\u0000", b"\\n", b"notify", b"watchdog", b"on-demand"),
)


def check(data: bytes) -> None:
    """A file as somebody may have put it into services.d."""
    try:
        written = data.decode()
    except UnicodeDecodeError:  # what `load` says of it is its own
        return
    try:
        found = manifest.parse(written, "fuzz", "fuzz.toml")
    except ManifestError as error:
        refused = error
    else:
        _usable(found)
        return
    assert refused.message.startswith("cannot use manifest fuzz.toml: ")
    assert refused.details["file"] == "fuzz.toml"


def _usable(found: Manifest) -> None:
    assert manifest.order([msgspec.structs.replace(found, after=())])
    assert render.declared(found) == render.declared(msgspec.structs.replace(found, source="elsewhere"))
    for place in PLACES:
        try:
            units = render.render(found, place)
        except InvalidArgument:
            continue
        assert units == render.render(found, place)
        for unit in units:
            assert text.parse(unit.text)
            try:
                told = properties.encode(unit, place.systemd_version)
            except InvalidArgument:
                continue
            for one in told.properties:
                assert fits(one.signature, one.value), one
