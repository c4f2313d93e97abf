# SPDX-License-Identifier: MIT
"""All rings run, each once, and what they say ends in one line (tests/tracks.py)."""

from __future__ import annotations

from collections import Counter

import tracks


def test_each_file_is_in_one_track() -> None:
    run = [path for name in tracks.TRACKS for path in tracks.paths(name)]
    files = [file for path in run for file in (path.glob("test_*.py") if path.is_dir() else (path,))]
    assert Counter(files) == Counter(tracks.HERE.glob("*/test_*.py"))


def test_the_summaries_of_all_tracks_are_added_up() -> None:
    assert tracks.summed(["2 passed, 1 skipped", "1 failed, 3 passed, 1 error"]) == (
        "5 passed, 1 skipped, 1 failed, 1 error"
    )


def test_the_summary_of_a_pytest_is_found() -> None:
    said = "tests/a.py .   [100%]\n== short test summary info ==\n===== 1 failed, 2 passed in 61.03s (0:01:01) =====\n"
    assert tracks._SUMMARY.findall(said) == ["1 failed, 2 passed"]
