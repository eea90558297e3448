"""page: docs/reliability.md, from the reports of the harnesses and nothing else.

A number that stands on the page was measured by the run whose seed, commit and machine stand beside it. What was not run is
called not measured. A report of a quick run is never shown as a result.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reliability import histcheck
from reliability.goals import GOALS, Goal, Run, file_name
from reliability.report import ROOT, Report

PAGE = ROOT / "docs" / "reliability.md"
NOT_MEASURED = "not measured"
SHOWN_MISSES = 5
Reports = Mapping[str, Report]


def command(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    about = "Write docs/reliability.md from a folder of reports."
    parser = harnesses.add_parser("page", help=about, description=about)
    parser.set_defaults(run=_run)
    parser.add_argument("folder", help="where the reports are")
    parser.add_argument("--to", help="write this file instead")


def _run(options: argparse.Namespace) -> int:
    target = Path(options.to) if options.to else PAGE
    write(Path(options.folder), target)
    print(target)
    return 0


def read(folder: Path) -> dict[str, Report]:
    """Return the reports of a folder by their names. Raises FileNotFoundError where there is no folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: `python -m tests.chaos all` makes it")
    return {path.stem: Report.read(path) for path in sorted(folder.glob("*.json"))}


def write(folder: Path, target: Path = PAGE) -> None:
    """Write the page."""
    target.write_text("\n".join(lines(read(folder))) + "\n")


# --- for the terminal


def table(reports: Reports) -> Iterator[str]:
    """Return one line per run: goal, verdict, seed, what was seen."""
    for goal, run, report in _runs(reports):
        if report is None:
            yield f"{goal.id:4} {NOT_MEASURED:13} {run.name}"
            continue
        yield f"{goal.id:4} {_verdict(report):13} seed {report.seed:<7} {run.name}: {_seen(run, report)}"


def _runs(reports: Reports) -> Iterator[tuple[Goal, Run, Report | None]]:
    for goal in GOALS:
        for run in goal.runs:
            yield goal, run, reports.get(file_name(goal, run))


def _verdict(report: Report) -> str:
    quick = " (quick)" if report.options.get("quick") else ""
    return ("reached" if report.passed else "MISSED") + quick


def _seen(run: Run, report: Report) -> str:
    """Return the figures that matter, in words."""
    if not report.figures:
        return "; ".join(report.violations[:1])
    return "; ".join(f"{name} {_value(report.figures[name])}" for name in run.shown if name in report.figures)


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool() | int() | str():
            return f"{value:,}" if isinstance(value, int) else str(value)
        case float():
            return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
        case list() | tuple():
            return ", ".join(map(_value, value)) if value else "none"
        case dict():
            return ", ".join(f"{name} {_value(one)}" for name, one in value.items())
        case _:
            return str(value)


# --- for the page

INTRO = """# Reliability: what is promised, and what was seen

Made by `make chaos` (or `python -m tests.chaos page FOLDER`) from the reports of the harnesses; do not edit.

The promise: **what was acknowledged is not lost and not done twice**, whatever process dies, freezes, is cut off or
restarted, be it a service, Postgres or Kafka. A task whose worker is lost runs again as a new attempt, unless its flow
says `onWorkerLost: fail`; whatever the lost worker still says is not believed. No service has to be restarted by hand.

How it is checked: real processes are put under a load of flows of every kind (scripts, subflows, loops, retries, timers,
concurrency limits, pauses, webhooks, schedules, secrets), and a harness does its worst. Clients note every 2xx they were
given, tasks write each of their runs into a ledger, and the harness notes each fault. When all has come to rest, an oracle
(`tests/support/reliability/histcheck.py`) that knows only these notes and the tables looks for broken promises:
"""

AFTER_INVARIANTS = """
"Lost" counts violations of I1, "doubled" those of I3, I4 and I11; a goal is reached only when no invariant at all is broken.
That the oracle and the simulation see what they are to see is tested too: each check with a history that breaks it
(`tests/chaos/test_histcheck.py`), each fence by taking it out of the code (R13).
"""

BENCH = "bench-kafka"
"""The name of the report of load-tests/scaling.py."""

BENCH_INTRO = """
## How much a cluster does

`make bench-kafka`: every service is a process of its own, over one Kafka broker; load generator, broker and Postgres share
the machine with them. What an execution of two tasks costs each role says how many of each a cluster needs.
"""

REPLAY = """
## How to do it again

    make chaos                                # everything; the page is written anew at the end
    make chaos ARGS="--only R1,R5 --seed 7"   # some goals, with a given seed
    python -m tests.chaos gremlin --help      # one harness: what it does is up to you

A seed decides which faults come in which order, and what clients ask for; what processes are doing at that moment is up to
the machine. So a seed repeats the same pressure, not the same microsecond. Only the simulation is exact: the same seed is
the same world, event for event:

    python tests/simulation/simflow.py --seed 17 --trace

A run that misses its goal keeps everything (logs, tables, what clients were told) in the folder of the reports.
The commands of the runs above:
"""


def lines(reports: Reports) -> Iterator[str]:
    """Return the page."""
    yield from INTRO.splitlines()
    yield ""
    yield "```"
    yield from _invariants()
    yield "```"
    yield from AFTER_INVARIANTS.splitlines()
    yield ""
    yield "## What was seen"
    yield ""
    yield from _where(reports)
    yield ""
    yield "| goal | what is done | wanted | |"
    yield "| --- | --- | --- | --- |"
    for goal in GOALS:
        yield f"| {goal.id} | {goal.did} | {goal.wanted} | {_of_all(goal, reports)} |"
    yield ""
    yield "### Figures"
    yield ""
    yield "| goal | how | seen | seed | seconds | |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for goal, run, report in _runs(reports):
        yield f"| {goal.id} | {run.name} {_row(run, _shown(report))}"
    yield from _misses(reports)
    yield from _bench(reports.get(BENCH))
    yield from REPLAY.splitlines()
    yield ""
    for goal, run, report in _runs(reports):
        seed = report.seed if report is not None else "N"
        yield f"    {goal.id:4} python -m tests.chaos {' '.join(run.arguments(False))} --seed {seed}"


def _invariants() -> Iterator[str]:
    """Return the list of invariants as the oracle itself gives it."""
    text = inspect.getdoc(histcheck) or ""
    for line in text.splitlines():
        if line.strip().startswith("I") and line.split()[0][1:].isdigit():
            yield line.strip()


def _shown(report: Report | None) -> Report | None:
    """A quick run is no result."""
    return None if report is None or report.options.get("quick") else report


def _of_all(goal: Goal, reports: Reports) -> str:
    """Return the verdict of a goal: reached when all its runs did."""
    found = [_shown(reports.get(file_name(goal, run))) for run in goal.runs]
    measured = [report for report in found if report is not None]
    if not all(report.passed for report in measured):
        return "**missed**"
    if len(measured) < len(found):
        return (
            NOT_MEASURED
            if not measured
            else f"reached in {len(measured)} of {len(found)} forms, the rest {NOT_MEASURED}"
        )
    return "reached"


def _row(run: Run, report: Report | None) -> str:
    if report is None:
        return f"| {NOT_MEASURED} | | | |"
    verdict = "reached" if report.passed else "**missed**"
    return f"| {_cell(_seen(run, report))} | {report.seed} | {report.took_s:.0f} | {verdict} |"


def _where(reports: Reports) -> Iterator[str]:
    """Return on what, when and of which commit the results are, one line for each that differs."""
    found = [report for _, _, report in _runs(reports) if _shown(report) is not None and report is not None]
    if not found:
        yield f"Nothing here was measured yet: all goals are {NOT_MEASURED}."
        return
    for key in dict.fromkeys((report.commit, report.machine) for report in found):
        same = [report for report in found if (report.commit, report.machine) == key]
        dates = sorted(report.at for report in same)
        span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        yield f"- {len(same)} of {len(found)} runs: commit `{key[0]}`, {span} UTC, {key[1]}"


def _bench(report: Report | None) -> Iterator[str]:
    """Return what `make bench-kafka` measured last."""
    yield from BENCH_INTRO.splitlines()
    yield ""
    if report is None:
        yield f"{NOT_MEASURED.capitalize()} yet."
        return
    yield f"Commit `{report.commit}`, {report.at} UTC, {report.machine}."
    yield ""
    yield "| wanted | |"
    yield "| --- | --- |"
    yield from (f"| {_cell(goal)} | {'reached' if met else '**missed**'} |" for goal, met in report.goals.items())
    yield ""
    yield "| what | seen |"
    yield "| --- | --- |"
    yield from (f"| {_cell(name)} | {_cell(_value(value))} |" for name, value in report.figures.items())


def _misses(reports: Reports) -> Iterator[str]:
    """Say for each goal that was missed what was wrong."""
    missed = [
        (goal, run, report) for goal, run, report in _runs(reports) if _shown(report) and report and not report.passed
    ]
    if not missed:
        return
    yield ""
    yield "### What was missed"
    for goal, run, report in missed:
        yield ""
        yield f"{goal.id}, {run.name}, seed {report.seed}:"
        yield ""
        yield from (f"- {_cell(name)}" for name, reached in report.goals.items() if not reached)
        yield from (f"- {_cell(text[:300])}" for text in report.violations[:SHOWN_MISSES])
        if len(report.violations) > SHOWN_MISSES:
            yield f"- and {len(report.violations) - SHOWN_MISSES} more"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
