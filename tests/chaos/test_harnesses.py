"""The commands around the harnesses: each run of each goal can be called, a hanging one is ended, the page invents nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from subprocess import CalledProcessError

import pytest
from reliability import every, killtree, page, simulated, upgrade
from reliability.commands import parser
from reliability.goals import GOALS, Goal, Run, file_name
from reliability.report import Report, made

TREES = next(goal for goal in GOALS if goal.id == "R16")


def report(goal: Goal, run: Run, **figures: object) -> Report:
    made_ = Report(run.harness, 7, {"quick": False}, dict(figures), {"all is well": True})
    return replace(made_, commit="c0ffee", machine="2 cores", at="2026-01-02 03:04", took_s=12.0)


@pytest.mark.parametrize("quick", [False, True])
def test_every_run_of_every_goal_is_a_command(quick: bool) -> None:
    for goal in GOALS:
        for run in goal.runs:
            options = parser().parse_args([*run.arguments(quick), "--seed", "1"])
            assert options.harness == run.harness


def test_goals_that_nobody_knows_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no goal R99; there are R1, "):
        every.run(parser().parse_args(["all", "--only", "r1,R99", "--out", str(tmp_path)]))


def test_a_page_without_reports_claims_nothing() -> None:
    rows = [line for line in page.lines({}) if line.startswith("| R")]
    assert len(rows) == len(GOALS) + sum(len(goal.runs) for goal in GOALS)
    assert all("not measured" in row for row in rows)


def test_a_page_shows_what_was_measured_with_seed_and_commit() -> None:
    goal, (run,) = TREES, TREES.runs
    text = "\n".join(page.lines({file_name(goal, run): report(goal, run, scripts=50, survivors=0, unnamed=3)}))
    assert "| R16 | worker's guard | scripts 50; survivors 0 | 7 | 12 | reached |" in text
    assert "1 of 1 runs: commit `c0ffee`, 2026-01-02 03:04 UTC, 2 cores" in text
    assert "unnamed" not in text


def test_a_page_says_what_was_missed_and_does_not_show_quick_runs() -> None:
    goal, (run,) = TREES, TREES.runs
    missed = report(goal, run, scripts=50)
    missed.goals["nothing survives"] = False
    missed.violations = [f"process {number} is | left" for number in range(7)]
    text = "\n".join(page.lines({file_name(goal, run): missed}))
    assert "| R16 |" in text
    assert "**missed**" in text
    assert "- nothing survives" in text
    assert "- process 0 is \\| left" in text
    assert "- and 2 more" in text
    missed.options["quick"] = True
    assert "**missed**" not in "\n".join(page.lines({file_name(goal, run): missed}))


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    goal, (run,) = TREES, TREES.runs
    written = report(goal, run, scripts=50)
    written.write(tmp_path / "R16.json")
    assert page.read(tmp_path) == {"R16": written}
    with pytest.raises(FileNotFoundError, match=r"tests\.chaos all"):
        page.read(tmp_path / "nowhere")


def test_a_harness_that_hangs_is_ended_and_reported(tmp_path: Path) -> None:
    run = Run("too slow", "simulation", {"seeds": 5000}, (), limit_s=2.0)
    goal = Goal("T1", "", "", (run,))
    found = every.play(goal, run, tmp_path, 1, quick=False)
    assert not found.passed
    assert "did not end within 2 s" in found.violations[0]
    assert page.read(tmp_path)["T1-1-simulation"].violations == found.violations


def test_scripts_that_do_not_want_to_end_are_ended(tmp_path: Path) -> None:
    found = asyncio.run(killtree.run(tmp_path, 12, made("killtree", 2024)))
    assert found.passed, "\n".join(found.lines())
    assert found.figures["processes at the moment of the order"] > 12


def test_drawn_scripts_use_every_trick_and_are_the_same_again() -> None:
    drawn = killtree.draw(50, 3)
    assert drawn == killtree.draw(50, 3)
    assert {trick for script in drawn for trick in script.tricks} == set(killtree.TRICKS)
    assert {script.how for script in drawn} == set(killtree.HOWS)


def test_worlds_are_played_in_several_processes() -> None:
    found = simulated.run(0, 4, made("simulation", 0))
    assert found.passed, "\n".join(found.lines())
    assert found.figures["worlds"] == 4


def test_an_older_version_is_what_runs_from_its_folder(tmp_path: Path) -> None:
    try:
        older = upgrade.oldest()
    except (OSError, CalledProcessError):
        pytest.skip("this is no clone with a history")
    version = upgrade.checked_out(older, tmp_path / "older")
    assert str(tmp_path) in version.env["PYTHONPATH"]
