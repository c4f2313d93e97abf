# SPDX-License-Identifier: MIT
"""What is checked of an installed Strata: its files, its start at boot, its group."""

from __future__ import annotations

import grp
import os
from collections.abc import Sequence

from strata import __version__, config
from strata.cli import install, installed, place
from strata.cli.checks import FAIL, OK, WARN, Finding
from strata.cli.installed import Installed
from strata.installation import activation, files, layout
from strata.installation.documents import Document
from strata.installation.files import Found, State
from strata.paths import Paths
from strata.units import names


def installation(paths: Paths) -> Finding:
    """All files there, as they were written, by this version, for this place."""
    name, here = "installation", installed.find()
    if here is None:
        return Finding(name, OK, "none; `strata-ctl install` has systemd start Strata at boot")
    if files.look(here.unit).state is State.FOREIGN:
        return Finding(name, OK, f"{here.unit}, which `strata-ctl install` did not write")
    own = here.user or os.geteuid() == 0
    found = files.survey(_needed(here, install.wanted(here.target, paths if own else layout.SYSTEM)))
    if others := {one.version for one in found if one.version} - {__version__}:
        written = f"the files are of Strata {', '.join(sorted(others))}, this is {__version__}"
        return Finding(name, WARN, written, _mend(here, ()))
    bad = [one for one in found if one.state in (State.MISSING, State.CHANGED, State.FOREIGN)]
    if bad:
        return Finding(name, FAIL, "; ".join(map(_told, bad)), _mend(here, bad))
    if here.target != "package" and any(one.state is State.OTHER for one in found):
        return Finding(name, WARN, "the files are for another place than this one", _mend(here, ()))
    return Finding(name, OK, f"{here.unit} and {len(found) - 1} more files, of Strata {__version__}")


def _needed(here: Installed, wanted: Sequence[Document]) -> list[Document]:
    """A package manager may compress man pages, or leave them and completions out."""
    return [one for one in wanted if here.target != "package" or one.kind in ("unit", "sysusers", "tmpfiles", "preset")]


def _told(one: Found) -> str:
    words = {State.MISSING: "is missing", State.CHANGED: "was changed", State.FOREIGN: "is somebody else's"}
    return f"{one.path} {words[one.state]}"


def _mend(here: Installed, bad: Sequence[Found]) -> str:
    if here.target == "package":
        return "reinstall the package: apt-get install --reinstall strata"
    again = "strata-ctl install --user" if here.user else "strata-ctl install"
    others = [str(one.path) for one in bad if one.state is not State.MISSING]
    return f"rm {' '.join(others)} && {again}   # after a look at what was changed" if others else again


def boot(paths: Paths) -> Finding:
    """systemd starts it at boot, or with the user's session."""
    name, here = "start at boot", installed.find()
    if here is None:
        return Finding(name, OK, "no, it is not installed")
    enabled = activation.enablement(here.user)
    if not enabled.startswith(("enabled", "static", "linked", "generated")):
        flag = "--user " if here.user else ""
        return Finding(name, WARN, f"no: {enabled or 'unknown'}", f"systemctl {flag}enable {names.SUPERVISOR}")
    if here.user and not activation.lingers(place.user()):
        return Finding(
            name, WARN, "it starts when you log in and ends with your last session", "loginctl enable-linger"
        )
    return Finding(name, OK, enabled)


def operators(paths: Paths) -> Finding:
    """Who may operate Strata without a token, besides root and its own user."""
    wanted = config.load(paths).operators.groups
    there = [name for name in wanted if _members(name) is not None]
    here = installed.find()
    if here is not None and not here.user and wanted and not there:
        mend = f"systemd-sysusers && systemctl restart {names.SUPERVISOR}"
        return Finding("operators", WARN, f"no group {' or '.join(wanted)} is on this machine", mend)
    told = [f"members of {name} ({', '.join(_members(name) or ()) or 'nobody yet'})" for name in there]
    return Finding("operators", OK, ", ".join(("root" if here is None or not here.user else "you", *told)))


def _members(group: str) -> list[str] | None:
    try:
        return grp.getgrnam(group).gr_mem
    except KeyError:
        return None


INSTALLED = (installation, boot, operators)
