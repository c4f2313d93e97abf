# SPDX-License-Identifier: MIT
"""The benchmarks' own arithmetic, and how figures become tables, JSON, pages and pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks import document, harness, plot, report, sandboxes
from benchmarks.harness import Figure
from benchmarks.peers import trees
from benchmarks.peers.contract import SAME, Isolation

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs/benchmarks.md"
WALLS = Isolation(*[True] * len(Isolation._fields))._asdict()
MACHINE = {"cpu": "a cpu", "kernel": "6.1", "load": 0.1, "load_at_the_end": 0.2}


def work(peer: str, ours: list[float], theirs: list[float], name: str = "open", **more: Any) -> dict[str, Any]:
    return {
        "kind": "work",
        "peer": peer,
        "work": name,
        "what": "a sandbox",
        "unit": "s",
        "ours": ours,
        "theirs": theirs,
        "remark": "",
        **more,
    }


def peer(name: str, missing: str = "", **isolation: bool) -> dict[str, Any]:
    return {
        "kind": "peer",
        "peer": name,
        "what": "one",
        "version": "" if missing else "1.0",
        "missing": missing,
        "same": not isolation,
        "isolation": {**WALLS, **isolation},
        "execute": "",
    }


def run() -> list[Figure]:
    """What a run might have found."""
    return [
        sandboxes.described(peer("quick")),
        sandboxes.described(peer("open | wide", filter=False)),
        sandboxes.described(peer("absent", missing="not installed: absent")),
        sandboxes.compared(work("quick", [0.02, 0.02, 0.02], [0.01, 0.01, 0.012]), same=True),
        sandboxes.compared(work("open | wide", [0.02, 0.02, 0.02], [0.04, 0.06, 0.08]), same=False),
        sandboxes.compared({**work("quick", [], [], "burst"), "failed": "TimeoutError: late"}, same=True),
        Figure("bound", "something else", 2.0, "ms", at_most=1.0, part="other"),
    ]


def rendered() -> str:
    return document.page(
        PAGE.read_text(encoding="utf-8"), [one._replace(part=one.part or "sandboxes") for one in run()], MACHINE
    )


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_medians() -> None:
    figure = sandboxes.compared(work("one", [1.0, 2.0, 4.0], [4.0, 2.0, 1.0]), same=False)
    assert figure.measured == 1.0
    assert figure.spread == (0.625, 2.5)


def test_one_round_has_no_spread() -> None:
    assert sandboxes.compared(work("one", [1.0], [2.0]), same=False).spread is None


def test_quartiles_are_never_beyond_what_was_seen() -> None:
    assert harness.quartiles([1.0, 2.0]) == (1.25, 1.75)
    assert harness.quartiles([3.0, 3.0, 3.0]) == (3.0, 3.0)


def test_strata_has_to_be_ahead_of_the_same_isolation_in_open_exec_and_idle_only() -> None:
    verdicts = {
        (name, same): sandboxes.compared(work("one", [2.0, 2.0], [1.0, 1.0], name), same).verdict
        for name in ("open", "exec", "idle", "line", "burst", "bulk", "close")
        for same in (True, False)
    }
    assert {key for key, verdict in verdicts.items() if verdict == "MISSED"} == {
        ("open", True),
        ("exec", True),
        ("idle", True),
    }
    assert set(verdicts.values()) == {"MISSED", "info"}


def test_a_peer_that_cannot_run_is_a_figure_with_its_reason() -> None:
    figure = sandboxes.described(peer("absent", missing="not installed: absent"))
    assert (figure.verdict, figure.note) == ("NOT MEASURED", "not installed: absent")


def test_a_work_that_failed_is_a_figure_with_its_reason() -> None:
    figure = sandboxes.compared({**work("one", [], []), "failed": "TimeoutError: late"}, same=True)
    assert (figure.verdict, figure.note) == ("NOT MEASURED", "TimeoutError: late")


def test_seconds_are_shown_as_milliseconds_and_bytes_as_mebibytes() -> None:
    assert "20 ms against 10 ms" in sandboxes.compared(work("one", [0.01], [0.02]), same=False).note
    memory = work("one", [1_048_576.0], [2_097_152.0], "idle", unit="B")
    assert "2 MiB against 1 MiB" in sandboxes.compared(memory, same=False).note


def test_the_same_walls_are_the_seven_that_isolate() -> None:
    assert set(Isolation._fields) - set(SAME) == {"session", "reattach"}


@pytest.mark.parametrize(("spread", "standing"), [((1.1, 2.0), "ahead"), ((0.5, 0.9), "behind"), ((0.9, 1.1), "alike")])
def test_ahead_and_behind_are_what_three_rounds_of_four_say(spread: tuple[float, float], standing: str) -> None:
    assert document.standing(Figure("open: one", "", 1.0, spread=spread)) == standing


def test_a_page_gets_all_its_tables_and_keeps_what_is_written_by_hand() -> None:
    page = rendered()
    assert page.startswith(PAGE.read_text(encoding="utf-8").partition("<!-- generated")[0])
    assert "cpu a cpu, kernel 6.1, load 0.1, load at the end 0.2." in page
    assert "| **quick** | 10 ms | 20 ms | 0.5 × (0.5 – 0.55) |" in page
    assert "Open, cold: until the first output: **behind** quick (0.5 ×)." in page
    assert "Open, cold: until the first output: ahead of open | wide (3 ×)." in page
    assert "| open: quick | 0.5 × (0.5 – 0.55) | ≥ 1 × | MISSED |" in page
    assert "| peer: absent | not installed: absent |" in page
    assert "| burst: quick | TimeoutError: late |" in page
    assert "### other" in page


def test_a_page_that_is_rendered_twice_stays_as_it_is() -> None:
    page = rendered()
    figures = [one._replace(part=one.part or "sandboxes") for one in run()]
    assert document.page(page, figures, MACHINE) == page


def test_a_page_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        document.page("# Benchmarks\n", run(), MACHINE)


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert "open \\| wide" in document.isolation(run())


def test_figures_come_back_from_json_as_they_were() -> None:
    written = json.loads(json.dumps(report.document(run(), MACHINE)))
    assert report.read(written) == (run(), MACHINE)


def test_figures_of_an_older_run_can_be_read() -> None:
    row = {"name": "a", "what": "b", "measured": 1.0, "unit": "ms", "verdict": "info", "spread": None}
    assert report.read({"machine": {}, "figures": [row]})[0] == [Figure("a", "b", 1.0, "ms")]


def test_the_table_says_what_was_not_measured_and_why() -> None:
    line = next(row for row in report.table(run(), MACHINE).splitlines() if row.startswith("peer: absent"))
    assert "NOT MEASURED" in line
    assert "not installed: absent" in line


def test_a_saved_run_is_rendered_without_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, page = tmp_path / "figures.json", tmp_path / "page.md"
    saved.write_text(json.dumps(report.document(run(), MACHINE)), encoding="utf-8")
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    assert program.main(["--from-json", str(saved), "--document", str(page)]) == 0
    assert "**quick**" in page.read_text(encoding="utf-8")
    assert "open: quick" in capsys.readouterr().out


def test_strict_fails_where_a_target_is_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "figures.json"
    saved.write_text(json.dumps(report.document(run(), MACHINE)), encoding="utf-8")
    assert program.main(["--from-json", str(saved), "--strict"]) == 1
    assert capsys.readouterr().out


def test_measuring_and_not_measuring_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.arguments(["--from-json", "x", "--only", "sandboxes"])
    assert "measures nothing" in capsys.readouterr().err


def test_a_picture_has_a_panel_for_each_work_and_a_name_for_each_peer(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing is for the benchmarks' environment")
    saved, drawn = tmp_path / "figures.json", tmp_path / "plot.svg"
    saved.write_text(json.dumps(report.document(run(), MACHINE)), encoding="utf-8")
    argv = [sys.executable, "-m", "benchmarks", "--from-json", str(saved), "--plot", str(drawn)]
    subprocess.run(argv, cwd=REPOSITORY, check=True, capture_output=True)  # fonts stay open as long as the process
    assert "Open, cold: until the first output" in drawn.read_text(encoding="utf-8")
    assert ">quick<" in drawn.read_text(encoding="utf-8")


def test_a_run_without_peers_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no peer was measured"):
        plot.draw([], tmp_path / "plot.svg")


def test_a_tree_for_a_sandbox_is_made_and_removed(tmp_path: Path) -> None:
    trees.make(tmp_path / "root")
    assert (tmp_path / "root/bin").is_symlink()
    trees.remove(tmp_path / "root")
    assert not (tmp_path / "root").exists()
