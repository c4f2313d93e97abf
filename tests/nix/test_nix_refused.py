# SPDX-License-Identifier: MIT
"""What a person gets wrong in a configuration, and the sentence that is read then: of Nix, of an assertion, or of the
build that checks the files. Each on the real nixpkgs too, where there is one."""

from __future__ import annotations

import re

import pytest
from evaluation import Nix, Refused

TOPLEVEL = "config.system.build.toplevel.drvPath"
STRATA = "services.strata = {{ enable = true; {} }};"

# What was written, and what is said.
REFUSED = {
    "misspelt option": ("nodeID = 1;", r"The option `services\.strata\.nodeID' does not exist"),
    "wrong type": ("nodeId = 5;", r"`services\.strata\.nodeId' is not of type"),
    "relative path": ('runtimeDir = "relative";', r"`services\.strata\.runtimeDir' is not of type"),
    "package as text": ('package = "strata";', r"`services\.strata\.package' is not of type `package'"),
    "port too large": ("api.port = 65536;", r"`services\.strata\.api\.port' is not of type `16 bit unsigned integer"),
    "word that is none of the list": (
        'sandbox.network = "vpn";',
        r"is not of type `null or one of \"isolated\", \"host\"'",
    ),
    "misspelt limit of a service": (
        'services.web = { command = [ "/bin/true" ]; limits.memory = "1G"; };',
        r"The option `services\.strata\.services\.web\.limits\.memory' does not exist",
    ),
    "no command": (
        'services.web.profile = "sealed";',
        r"`services\.strata\.services\.web\.command' was accessed but has no value",
    ),
    "empty command": (
        "services.web.command = [ ];",
        r"`services\.strata\.services\.web\.command' is not of type `non-empty",
    ),
    "null in the settings": ("settings.fs.strict_paths = null;", r"is not of type `TOML value'"),
    "secret as a path": (
        "identity.keyFile = ./key;",
        r"keyFile' is not of type `null or absolute path outside of the Nix store",
    ),
    "secret in the store": (
        'identity.keyFile = "${builtins.toFile "key" "x"}";',
        r"keyFile' is not of type `null or absolute path outside of the Nix store",
    ),
    "credential in the store": (
        'services.web = { command = [ "/bin/true" ]; credentials.k = builtins.toFile "key" "x"; };',
        r"credentials\.k' is not of type `absolute path outside of the Nix store",
    ),
    "TLS key in the store": (
        'api.tls = { certificateFile = "/a"; keyFile = builtins.toFile "key" "x"; };',
        r"keyFile' is not of type `null or absolute path outside of the Nix store",
    ),
    "assertion: core service that others need": (
        "identity.enable = false;",
        r"services\.strata\.identity\.enable = false: fs, sandbox cannot do without it",
    ),
    "assertion: certificate without key": ('api.tls.certificateFile = "/c";', r"Set both certificateFile and keyFile"),
    "assertion: open door on loopback": ("api.openFirewall = true;", r"opens a port that nobody can reach"),
    "assertion: no authentication on the network": (
        'api.address = "::"; settings.api.insecure_no_auth = true;',
        r"gives everybody who reaches :: all sandboxes",
    ),
    "assertion: name of a service": ('services."a b".command = [ "/bin/true" ];', r"\"a b\" is no name for a service"),
    "assertion: name of Strata's own": ('services.fs.command = [ "/bin/true" ];', r"name of a service of Strata's own"),
    "assertion: after what does not exist": (
        'services.web = { command = [ "/bin/true" ]; after = [ "wbe" ]; };',
        r"services\.web\.after names wbe, which is no service",
    ),
    "assertion: after what is disabled": (
        'api.enable = false; services.web = { command = [ "/bin/true" ]; after = [ "api" ]; };',
        r"services\.web\.after names api, which is disabled",
    ),
}
# Beside services.strata.
BESIDE = {
    "misspelt option of NixOS": ('networking.hostname = "x";', r"The option `networking\.hostname' does not exist"),
    "system user without a group": (
        "users.users.web.isSystemUser = true;",
        r"users\.users\.web\.group is unset",
    ),
    "user of neither kind": ('users.users.web.group = "users";', r"Exactly one of users\.users\.web\.isSystemUser and"),
    "two state versions": ('system.stateVersion = "24.05";', r"conflicting definition values"),
    "nested attributes in a directive": (
        "systemd.services.strata-supervisor.serviceConfig.LimitCORE.soft = lib.mkForce 0;",
        r"cannot coerce a set to a string|conflicting definition values",
    ),
    "kind of service that there is not": (
        'systemd.services.web.serviceConfig.Type = "notfy";',
        r"Systemd Service field `Type' cannot have value `notfy'",
    ),
}


def refused(nix: Nix, module: str, wanted: str = TOPLEVEL) -> str:
    """What Nix says against a machine, on one line."""
    with pytest.raises(Refused) as caught:
        nix.config(f"({{ lib, pkgs, ... }}: {{ {module} }})", wanted)
    return re.sub(r"\s+", " ", str(caught.value))


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_wrong_option_of_strata_is_refused_with_a_sentence_that_names_it(either: Nix, name: str) -> None:
    written, said = REFUSED[name]
    assert re.search(said, refused(either, STRATA.format(written)))


@pytest.mark.parametrize("name", list(BESIDE))
def test_what_is_wrong_beside_strata_is_refused_as_well(either: Nix, name: str) -> None:
    written, said = BESIDE[name]
    assert re.search(said, refused(either, STRATA.format("") + written))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("isoImage.makeEfiBotable = true;", r"The option `isoImage\.makeEfiBotable' does not exist"),
        ('isoImage.makeEfiBootable = "yes";', r"`isoImage\.makeEfiBootable' is not of type `boolean'"),
        ('image.fileNam = "x.iso";', r"The option `image\.fileNam' does not exist"),
    ],
)
def test_a_wrong_option_of_an_image_is_refused(either: Nix, written: str, said: str) -> None:
    wanted = f"(flake.nixosConfigurations.strata-iso-x86_64.extendModules {{ modules = [ {{ {written} }} ]; }})"
    with pytest.raises(Refused) as caught:
        either.value(f"{wanted}.config.system.build.isoImage.drvPath")
    assert re.search(said, re.sub(r"\s+", " ", str(caught.value)))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('services.web = { command = [ "/bin/true" ]; helth.kind = "tcp"; };', "helth"),
        ('services.web = { command = [ "/bin/true" ]; limits.memory_max = "much"; };', "much"),
        ('services.web = { command = [ "/bin/true" ]; unit.Service.ProtectSytem = "strict"; };', "ProtectSytem"),
        ("settings.fs.strict_pahts = true;", "strict_pahts"),
        ('sandbox.ttl = "soon";', "soon"),
        ("settings.identity.max_ttl_seconds = 0;", "max_ttl_seconds"),
        (
            'services.a = { command = [ "/bin/true" ]; after = [ "b" ]; };'
            'services.b = { command = [ "/bin/true" ]; after = [ "a" ]; };',
            "a",
        ),
    ],
)
def test_what_types_do_not_see_fails_the_build_of_the_configuration(nix: Nix, written: str, said: str) -> None:
    """By this checkout's own `strata-ctl config check`, so it is never a machine that finds it when it boots."""
    with pytest.raises(Refused) as caught:
        nix.build(f"(machine {{ {STRATA.format(written)} }}).config.system.build.etc")
    complaint = str(caught.value)
    assert "strata-configuration.drv' failed" in complaint
    assert re.search(rf"(cannot|is|it) .*{said}|{said}", complaint)


def test_a_good_configuration_builds(nix: Nix) -> None:
    """Without this one, the test above could be one of a broken checker."""
    written = 'services.web = { command = [ "/bin/true" ]; limits.memory_max = "64M"; }; sandbox.ttl = "15min";'
    built = nix.build(f"(machine {{ {STRATA.format(written)} }}).config.system.build.etc")
    assert (built / "etc/strata/services.d/web.toml").is_file()
