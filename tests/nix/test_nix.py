# SPDX-License-Identifier: MIT
"""The flake and the NixOS module, evaluated by a real Nix on a stand-in for nixpkgs; never built (nixos/README.md)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strata.units import context, manifest, render
from strata.units.access import Access

sys.path.insert(0, str(Path(__file__).resolve().parent))
from evaluation import REPOSITORY, Nix, Refused, copy, unit_text

FILES = sorted(REPOSITORY.glob("nixos/**/*.nix")) + sorted((REPOSITORY / "tests/nix").rglob("*.nix"))
FILES.append(REPOSITORY / "flake.nix")
ENABLED = 'services.strata = { enable = true; nodeId = "here"; '
UNIT = "config.systemd.services.strata-supervisor"
MACHINES = ("strata-vm-x86_64", "strata-iso-x86_64")
WORDS = {"true": "yes", "false": "no"}

pytestmark = pytest.mark.skipif(
    shutil.which("nix-instantiate") is None, reason="needs Nix: `apt-get install --no-install-recommends nix-bin`"
)


@pytest.fixture(scope="module")
def nix() -> Iterator[Nix]:
    """A Nix with a store of its own, removed at the end (a store is read-only even to its owner)."""
    directory = Path(tempfile.mkdtemp(prefix="strata-nix-"))
    try:
        yield Nix(directory)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(directory)], check=True)
        shutil.rmtree(directory)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_every_nix_file_parses_and_names_only_what_is_in_scope(nix: Nix, file: Path) -> None:
    assert nix.run("nix-instantiate", "--parse", str(file))


def test_the_lock_fits_the_flake(nix: Nix) -> None:
    assert nix.run("nix", "flake", "metadata", "--offline", "--no-update-lock-file", f"path:{nix.flake}")


def test_the_flake_has_the_packages_that_the_predecessor_had(nix: Nix) -> None:
    names = nix.flake_value("packages.x86_64-linux")
    assert {"default", "strata", "strata-ctl", "supervisor", "registry", "identity", "fs"} <= set(names)
    assert names["default"] == names["strata-ctl"] == names["supervisor"]
    assert set(nix.flake_value("packages.aarch64-linux")) == set(names)


def test_the_flakes_package_has_the_version_of_the_code(nix: Nix) -> None:
    from strata import __version__

    assert nix.flake_value("packages.x86_64-linux.strata.library.version") == __version__


@pytest.mark.parametrize(
    "attribute",
    [
        "devShells.x86_64-linux.default.drvPath",
        "nixosConfigurations.strata-vm-x86_64.config.system.build.vm.drvPath",
        "nixosConfigurations.strata-iso-x86_64.config.system.build.isoImage.drvPath",
    ],
)
def test_112_the_flakes_outputs_evaluate(nix: Nix, attribute: str) -> None:
    assert nix.flake_value(attribute).endswith(".drv")


@pytest.mark.parametrize("machine", MACHINES)
def test_112_strata_ctl_is_on_the_path_of_both_machines(nix: Nix, machine: str) -> None:
    configuration = f"nixosConfigurations.{machine}.config"
    assert nix.flake_value("packages.x86_64-linux.strata") in nix.flake_value(
        f"{configuration}.environment.systemPackages"
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_no_machine_has_a_password(nix: Nix, machine: str) -> None:
    assert nix.flake_value(f"nixosConfigurations.{machine}.config.users.users") == {}


@pytest.mark.parametrize(
    ("runtime_dir", "directory", "rules"),
    [
        ("/run/strata", "strata", []),
        ("/run/other/place", "other/place", []),
        ("/srv/strata", "strata-supervisor", ["d /srv/strata 0755 root root -"]),
    ],
)
def test_112_the_runtime_directory_follows_the_option(
    nix: Nix, runtime_dir: str, directory: str, rules: list[str]
) -> None:
    module = f'{{ {ENABLED} runtimeDir = "{runtime_dir}"; }}; }}'
    unit = nix.machine_value(module, UNIT)
    assert unit["serviceConfig"]["RuntimeDirectory"] == directory
    assert unit["serviceConfig"]["ReadWritePaths"][0] == unit["environment"]["STRATA_RUNTIME_DIR"] == runtime_dir
    assert nix.machine_value(module, "config.systemd.tmpfiles.rules") == rules


def test_112_enable_and_node_id_are_enough(nix: Nix) -> None:
    unit = nix.machine_value(f"{{ {ENABLED} }}; }}", UNIT)
    assert unit["environment"]["STRATA_NODE_ID"] == "here"
    assert unit["wantedBy"] == ["multi-user.target"]


def test_the_predecessors_options_still_evaluate_and_say_that_they_do_nothing(nix: Nix) -> None:
    given = " ".join(f"{service}Package = pkgs.git;" for service in ("registry", "identity", "fs"))
    module = f"({{ pkgs, ... }}: {{ {ENABLED} {given} }}; }})"
    (warning,) = nix.machine_value(module, "config.warnings")
    assert "no effect" in warning


def test_without_enable_nothing_is_set(nix: Nix) -> None:
    wanted = (
        "[ config.systemd.services config.systemd.slices config.environment.etc config.environment.systemPackages ]"
    )
    assert nix.machine_value("{ }", wanted) == [{}, {}, {}, []]


def test_the_modules_copy_of_the_unit_is_up_to_date() -> None:
    """`make docs` writes it anew."""
    generator = [sys.executable, str(REPOSITORY / "nixos/generate.py"), "--check"]
    assert subprocess.run(generator, check=False).returncode == 0


def test_the_supervisors_unit_is_the_one_that_strata_renders(nix: Nix) -> None:
    """Beside what NixOS must do otherwise: who makes the sockets' directory, and a reload for a changed manifest."""
    unit = nix.machine_value(f"{{ {ENABLED} }}; }}", UNIT)
    generated = settings(unit_text(unit, "Service"))
    rendered = settings(render.render_supervisor(where(interpreter(unit))).text)
    different = {key for key in generated.keys() | rendered.keys() if generated.get(key) != rendered.get(key)}
    assert different == {
        ("Unit", "After"),
        ("Service", "ExecReload"),
        ("Service", "RuntimeDirectory"),
        ("Service", "RuntimeDirectoryMode"),
    }


def test_the_slice_is_the_one_that_strata_renders(nix: Nix) -> None:
    found = nix.machine_value(f"{{ {ENABLED} }}; }}", "config.systemd.slices.strata")
    assert settings(unit_text(found, "Slice")) == settings(render.render_slice(where("/python")).text)


def test_systemd_accepts_the_unit(nix: Nix, tmp_path: Path) -> None:
    unit = nix.machine_value(f"{{ {ENABLED} }}; }}", UNIT)
    assert verify(unit, tmp_path) == ""


def test_a_misspelt_directive_is_found_by_systemd_although_nix_takes_it(nix: Nix, tmp_path: Path) -> None:
    """The module system knows no directives: this is why the unit is verified at all."""
    module = f"{{ {ENABLED} }}; systemd.services.strata-supervisor.serviceConfig.ProtectSytem = true; }}"
    assert "ProtectSytem" in verify(nix.machine_value(module, UNIT), tmp_path)


def test_services_become_manifests_that_strata_reads(nix: Nix) -> None:
    module = f"""{{ {ENABLED} services.web = {{
      command = [ "/bin/sh" "-c" "exec sleep 60" ]; profile = "sealed"; limits.memory_max = "64M"; after = [ "fs" ];
    }}; }}; }}"""
    wanted = 'config.environment.etc."strata/services.d/web.toml".source.value'
    found = manifest.parse(toml(nix.machine_value(module, wanted)), "web", "web.toml")
    assert (found.profile, found.limits.memory_max, found.after) == ("sealed", "64M", ("fs",))
    assert len(nix.machine_value(module, f"map (entry: entry.name) {UNIT}.reloadTriggers")) == 1


def test_settings_become_strata_toml_and_restart_the_supervisor(nix: Nix) -> None:
    module = f"{{ {ENABLED} settings.fs.strict_paths = true; }}; }}"
    assert nix.machine_value(module, 'config.environment.etc."strata/strata.toml".source.value') == {
        "fs": {"strict_paths": True}
    }
    assert len(nix.machine_value(module, f"map (entry: entry.name) {UNIT}.restartTriggers")) == 1


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (ENABLED + "nodeID = 1; };", "services.strata.nodeID' does not exist"),
        (ENABLED + "runtimeDir = 5; };", "not of type"),
        (ENABLED + 'runtimeDir = "relative"; };', "not of type"),
        (ENABLED + 'package = "strata"; };', "not of type `package'"),
        (ENABLED + "services.web.command = null; };", "not of type"),
        (ENABLED + 'services."a b".command = [ "/bin/true" ]; };', "Failed assertions"),
        (ENABLED + '}; system.stateVersion = "24.05";', "conflicting definition values"),
        (ENABLED + "}; systemd.services.x.serviceConfig.A.B = 1;", "not of type"),
    ],
)
def test_a_wrong_configuration_is_refused(nix: Nix, module: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        nix.machine_value("{ " + module.replace('nodeId = "here"; ', "") + " }", "config.system.build.toplevel.drvPath")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("services.nix", "mkIf cfg.enable {", "mkIf cfg.enable", "syntax error"),
        ("services.nix", "cfg.nodeId", "cfg.nodeIdd", "nodeIdd"),
        ("services.nix", "removePrefix\n", "\n", "undefined variable"),
        ("services.nix", "systemd.slices.strata", "systemd.slice.strata", "does not exist"),
        ("services.nix", "./supervisor.nix", "./superviser.nix", "superviser.nix"),
        ("supervisor.nix", 'LimitCORE = "0";', "LimitCORE = { soft = 0; };", "not of type"),
        ("options.nix", "type = types.package;", "type = types.pakage;", "pakage"),
        ("default.nix", "./options.nix", "", "does not exist"),
    ],
)
def test_a_broken_module_does_not_pass(nix: Nix, tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    """Mutations: without these, a stand-in that accepts everything would make this file worthless."""
    copy(REPOSITORY / "nixos/modules", tmp_path / "modules")
    text = (tmp_path / "modules" / file).read_text()
    assert old in text
    (tmp_path / "modules" / file).write_text(text.replace(old, new, 1))
    with pytest.raises(Refused, match=said):
        nix.machine_value(f"{{ {ENABLED} }}; }}", UNIT, tmp_path / "modules")


def test_a_dependency_that_is_not_packaged_is_found(nix: Nix, tmp_path: Path) -> None:
    broken = Nix(tmp_path)
    file = broken.flake / "nixos/packages/library.nix"
    file.write_text(file.read_text().replace("uvloop", "uvloup"))
    with pytest.raises(Refused, match="uvloup"):
        broken.flake_value("packages.x86_64-linux.strata")
    subprocess.run(["chmod", "-R", "u+w", str(tmp_path)], check=True)


def test_every_library_that_strata_needs_is_in_its_package() -> None:
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = {name.partition(">")[0] for name in project["dependencies"]}
    text = (REPOSITORY / "nixos/packages/library.nix").read_text()
    listed = text.partition("dependencies = [")[2].partition("]")[0].split()
    assert set(listed) == wanted


@pytest.mark.skipif(not os.environ.get("NIXPKGS"), reason="needs a checkout of nixpkgs: NIXPKGS=/path make test")
@pytest.mark.parametrize("machine", MACHINES)
def test_the_machines_evaluate_on_a_real_nixpkgs(nix: Nix, machine: str) -> None:
    tree = Path(os.environ["NIXPKGS"])
    attribute = f"nixosConfigurations.{machine}.config.system.build.toplevel.drvPath"
    assert nix.flake_value(attribute, tree).endswith(".drv")


def where(python: str) -> context.Context:
    """NixOS' system manager, in the default places."""
    return context.Context(
        mode="system",
        systemd_version=258,
        runtime_dir="/run/strata",
        state_dir="/var/lib/strata",
        config_dir="/etc/strata",
        python=python,
        code_paths=(),
        code=Access(False, (), ()),
        node_id="here",
    )


def interpreter(unit: dict[str, Any]) -> str:
    """The program in ExecStart=."""
    return str(unit["serviceConfig"]["ExecStart"]).split()[0]


def settings(text: str) -> dict[tuple[str, str], list[str]]:
    """Section and directive to its words, however they are spread over lines and quoted."""
    found: dict[tuple[str, str], list[str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            words = [WORDS.get(word.strip('"'), word.strip('"')) for word in value.split()]
            found.setdefault((section, name), []).extend(words)
    return {key: sorted(words) if key[1] == "Environment" else words for key, words in found.items()}


def verify(unit: dict[str, Any], directory: Path) -> str:
    """What systemd-analyze has to say against the unit, with programs that exist on this machine."""
    text = unit_text(unit, "Service")
    for command in ("ExecStart", "ExecReload"):
        text = text.replace(f"{command}={unit['serviceConfig'][command].split()[0]}", f"{command}=/bin/true")
    file = directory / "strata-supervisor.service"
    file.write_text(text)
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    return "\n".join(line for line in said.stderr.splitlines() if "strata-supervisor" in line)


def toml(table: dict[str, Any], name: str = "") -> str:
    """TOML of the few kinds of values that the test above uses."""
    import json

    plain = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items() if not isinstance(value, dict))
    deeper = "".join(toml(value, f"{name}{key}.") for key, value in table.items() if isinstance(value, dict))
    return (f"[{name.rstrip('.')}]\n" if name else "") + plain + deeper
