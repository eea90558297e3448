"""all: every goal's harness, one after the other, each in a process of its own and with a limit of time.

One that fails or hangs does not stop the others: a harness that does not end in time is asked to stop, then killed with all
it had started, and its report says so. Reports and everything that was printed are kept in a folder, together with what
a failed run left behind; the page with the tables is made from the reports alone (page.py).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from reliability import page
from reliability.goals import GOALS, Goal, Run, file_name
from reliability.report import ROOT, Report, made

STOP_S = 45.0
"""How long a harness may need to stop its processes when it was told to."""

FOLDER = ".levada/chaos"
LOUD = ("MISSED", "VIOLATION")


def command(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    about = "Play every goal's harness, print the table, and write docs/reliability.md."
    parser = harnesses.add_parser("all", help=about, description=about)
    parser.set_defaults(run=run)
    ids = ", ".join(goal.id for goal in GOALS)
    parser.add_argument("--only", help=f"goals, with commas: {ids}")
    parser.add_argument("--seed", type=int, help="the seed of every harness; drawn and printed if left out")
    parser.add_argument("--quick", action="store_true", help="small forms, to try the machinery; they prove nothing")
    parser.add_argument("--out", help=f"the folder of the reports ({FOLDER}); what is in it already is kept")


def run(options: argparse.Namespace) -> int:
    """Play what was asked for; return 0 when all goals were reached."""
    out = Path(options.out or ROOT / FOLDER)
    out.mkdir(parents=True, exist_ok=True)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    chosen = _chosen(options.only)
    print(f"seed {seed}, reports in {out}", flush=True)
    begun, reports = time.monotonic(), []
    for goal in chosen:
        for one in goal.runs:
            print(f"{goal.id:4} {one.harness}, {one.name} …", flush=True)
            report = play(goal, one, out, seed, quick=options.quick)
            reports.append(report)
            verdict = "reached" if report.passed else "MISSED"
            print(f"     {verdict} after {report.took_s:.0f} s", flush=True)
            for line in [] if report.passed else report.lines():
                if any(word in line for word in LOUD):
                    print(f"     {line.strip()[:300]}", flush=True)
    print(*page.table(page.read(out)), sep="\n")
    print(f"{len(reports)} runs in {(time.monotonic() - begun) / 60:.1f} min")
    whole = not options.quick and not options.only
    target = page.PAGE if whole else out / page.PAGE.name
    page.write(out, target)
    print(f"the page is {target}")
    return 0 if all(report.passed for report in reports) else 1


def _chosen(only: str | None) -> list[Goal]:
    if not only:
        return list(GOALS)
    wanted = [word.strip().upper() for word in only.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in {goal.id for goal in GOALS}]
    if unknown:
        raise SystemExit(f"there is no goal {', '.join(unknown)}; there are {', '.join(goal.id for goal in GOALS)}")
    return [goal for goal in GOALS if goal.id in wanted]


def play(goal: Goal, one: Run, out: Path, seed: int, *, quick: bool) -> Report:
    """Run a harness to its end, whatever that is; return its report, which stands in the folder then."""
    name = file_name(goal, one)
    target, work = out / f"{name}.json", out / f"{name}.files"
    target.unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)
    command = [sys.executable, "-m", "tests.chaos", *one.arguments(quick)]
    command += ["--seed", str(seed), "--report", str(target), "--folder", str(work)]
    begun = time.monotonic()
    with (out / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        trouble = _wait(child, one.limit_s)
    _clear(work)
    took_s = round(time.monotonic() - begun, 1)
    if target.exists():
        report = Report.read(target)
    else:
        trouble = trouble or f"the harness ended with exit code {child.returncode}"
        report = made(one.harness, seed, **dict(one.options))
        report.goals["the harness comes to its end"] = False
        report.violations.append(f"{trouble}; see {name}.log")
    report.took_s = took_s
    report.options["quick"] = quick
    report.write(target)
    if report.passed:
        shutil.rmtree(work, ignore_errors=True)
    return report


def _wait(child: subprocess.Popen[bytes], limit_s: float) -> str:
    """Wait for the end of a harness; return what was wrong with it, nothing if it ended in time."""
    try:
        child.wait(limit_s)
    except subprocess.TimeoutExpired:
        _end(child)
        return f"the harness did not end within {limit_s:g} s"
    except BaseException:
        _end(child)
        raise
    return ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """Interrupt a harness, which then stops what it has started; kill it if it does not."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _clear(work: Path) -> None:
    """Kill whatever still works in the folder of a run that is over."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = Path(os.readlink(process / "cwd"))
        except OSError:
            continue  # it has ended, or is nobody's that we may look at
        if place.is_relative_to(work):
            try:
                os.kill(int(process.name), signal.SIGKILL)
            except ProcessLookupError:
                continue  # it was faster
