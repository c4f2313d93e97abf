# SPDX-License-Identifier: MIT
"""What is checked of the files from outside that the settings name: systemd hands them over (LoadCredential=)."""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from strata import certificates, config
from strata.cli.checks import FAIL, OK, WARN, Finding
from strata.config import ApiSettings
from strata.errors import StrataError
from strata.paths import Paths

DAY = 86_400
WARN_SECONDS = 14 * DAY
_AGAIN = "strata-ctl restart api"


def identity_key(paths: Paths) -> Finding:
    """The seed of the signing keys, if it comes from a file, can be read by systemd and by nobody else."""
    name, file = "identity key", config.load(paths).identity.key_file
    if not file:
        return Finding(name, OK, "identity makes its keys itself")
    if missing := _missing(name, file):
        return missing
    mode = stat.S_IMODE(os.stat(file).st_mode)
    if mode & 0o027:
        return Finding(name, FAIL, f"{file} has mode {mode:04o}: others may read or change it", f"chmod 600 {file}")
    return Finding(name, OK, file)


def certificate(paths: Paths) -> Finding:
    """Whoever is not on this machine reaches the door by TLS alone, with a certificate that is valid for a while."""
    settings = config.load(paths)
    if not settings.core.api:
        return Finding("certificate", OK, "the door does not run here")
    if settings.api.tls_certificate:
        return _pair(settings.api)
    if config.is_loopback(settings.api.address):
        return Finding("certificate", OK, f"none; {settings.api.address} can be reached from this machine alone")
    return Finding(
        "certificate",
        WARN,
        f"none, and {settings.api.address} is no loopback address: whoever is on the way reads tokens and files",
        f"set api.tls_certificate and api.tls_key in {paths.config_dir / config.FILE_NAME}",
    )


def _pair(api: ApiSettings) -> Finding:
    name, file = "certificate", api.tls_certificate
    if missing := _missing(name, file) or _missing(name, api.tls_key):
        return missing
    try:
        valid = certificates.validity(Path(file).read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, api.tls_key, password=lambda: "")
    except PermissionError as error:
        return Finding(name, WARN, f"cannot look: {error.filename or api.tls_key} is closed to us", "run it as root")
    except (StrataError, OSError, ValueError) as error:
        return Finding(
            name, FAIL, f"{file}: {_reason(error)}", f"put a pair there that belongs together, then {_AGAIN}"
        )
    left = valid.seconds_left()
    if left <= 0:
        return Finding(name, FAIL, f"{file} expired at {valid.last}", f"renew it, then {_AGAIN}")
    if left < WARN_SECONDS:
        return Finding(
            name, WARN, f"{file} expires at {valid.last}, in {left / DAY:.0f} days", f"renew it, then {_AGAIN}"
        )
    return Finding(name, OK, f"{file}, valid until {valid.last}")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "it and the key are no pair that TLS could use"
    return error.message if isinstance(error, StrataError) else str(error)


def _missing(name: str, file: str) -> Finding | None:
    try:
        os.stat(file)
    except OSError as error:
        return Finding(name, FAIL, f"{file}: {error.strerror}", f"put it there, or take it out of {config.FILE_NAME}")
    return None


FILES = (identity_key, certificate)
