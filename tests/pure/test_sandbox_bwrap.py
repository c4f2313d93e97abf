# SPDX-License-Identifier: MIT
"""The argument vector of bubblewrap."""

from __future__ import annotations

import shutil

import pytest

from strata.sandbox.layers import bwrap
from strata.sandbox.layers.plan import Root

ROOT = Root("/stage/root", "/stage/root/run/strata", "/bin/bash", "/bin/sh", "kernel", "image", ("--dev", "/dev"), ())

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")


def vector(network: str = "isolated", seccomp_fd: int | None = None) -> list[str]:
    return bwrap.arguments(ROOT, network=network, info_fd=5, seccomp_fd=seccomp_fd)


def test_every_namespace_but_the_users_is_new() -> None:
    words = vector()
    assert {word for word in words if word.startswith("--unshare")} == {
        f"--unshare-{name}" for name in ("pid", "ipc", "uts", "cgroup", "net")
    }


def test_the_hosts_network_leaves_that_namespace_out() -> None:
    assert set(vector()) - set(vector("host")) == {"--unshare-net"}


def test_a_session_outlives_strata() -> None:
    assert "--die-with-parent" not in vector()


def test_nothing_is_kept_of_privileges_and_environment() -> None:
    words = vector()
    assert words[words.index("--cap-drop") + 1] == "ALL"
    assert "--clearenv" in words
    assert "--setenv" not in words


def test_the_root_comes_first_and_its_arguments_after_proc() -> None:
    words = vector()
    first = words.index("--dev-bind")
    assert words[first : first + 7] == ["--dev-bind", "/stage/root", "/", "--proc", "/proc", "--dev", "/dev"]


def test_the_filter_is_given_by_descriptor() -> None:
    assert "--seccomp" not in vector()
    words = vector(seccomp_fd=7)
    assert words[words.index("--seccomp") + 1] == "7"


def test_bubblewrap_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OSError, match="bwrap is required"):
        vector()
