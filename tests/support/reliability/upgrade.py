"""upgrade: two versions side by side, first on the way up, then on the way back, under load (R18).

The older version is a commit of this repository, checked out into a folder of its own and put before ours on the path of the
processes; everything else (Python, libraries, settings) is the same. All processes start old. Then one after the other is
stopped gracefully and started new, until all are new; the same way leads back. All the time executions run that were begun
by one version and are ended by the other.

By default the older version is the oldest commit whose migrations are all still as they were: the longest way that an
upgrade can have. Before the first new process starts, today's `levada migrate` runs, as an upgrade asks for; the older
processes then go on with newer tables.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from levada.cli.cluster.process import LEVADA, launch
from reliability.fleet import Services
from reliability.report import ROOT, Report
from reliability.trial import Trial

MIGRATIONS = "levada/store/migrations"
READY_S = 60.0
PAUSE_S = 1.0
"""Between two processes, so that work crosses from the one that has changed to those that have not."""

ORDER = ("executor", "indexer", "api", "scheduler", "webhook", "worker")
FAILED = "FAILED"


@dataclass(frozen=True)
class Version:
    """A checkout of a commit. `path` is what PYTHONPATH has to be for it; nothing for the working tree."""

    name: str
    path: str = ""

    @property
    def env(self) -> dict[str, str]:
        return {"PYTHONPATH": self.path}


def oldest() -> str:
    """Return the oldest commit from which an upgrade to ours is possible: all its migrations are still as they were."""
    ours = _migrations("HEAD")
    found = _git("rev-parse", "HEAD")
    for commit in _git("log", "--format=%H", "--", MIGRATIONS).splitlines():
        if not _migrations(commit) <= ours:
            break
        found = commit
    return found


def _migrations(commit: str) -> set[str]:
    """Return the migrations of a commit with their contents, as git names these."""
    return {line for line in _git("ls-tree", "-r", commit, MIGRATIONS).splitlines() if line.endswith(".sql")}


def checked_out(commit: str, folder: Path) -> Version:
    """Put the files of a commit into a folder. Raises CalledProcessError for a commit that is not there."""
    folder.mkdir(parents=True)
    packed = subprocess.run(
        ["git", "archive", commit, "levada", "services"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)
    places = [folder, *sorted(path for path in (folder / "services").iterdir() if path.is_dir())]
    version = Version(_git("rev-parse", "--short=10", commit), os.pathsep.join(map(str, places)))
    ask = [sys.executable, "-c", "import levada, levada_executor as one; print(levada.__file__, one.__file__)"]
    used = subprocess.run(
        ask, env={**os.environ, **version.env}, cwd=folder, check=True, capture_output=True, text=True
    )
    assert used.stdout.count(str(folder)) == 2, f"the older version is not what runs: {used.stdout}"
    return version


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


async def run(trial: Trial, old: Version, settle_s: float, report: Report) -> Report:
    """Roll a fleet whose processes run `old` to ours and back, and fill the report in."""
    fleet = trial.fleet
    assert isinstance(fleet, Services), "versions live side by side where there are several processes"
    new = Version("this")
    codes: list[int | None] = []
    begun = {}
    async with trial:
        await asyncio.sleep(settle_s)
        await _migrate(fleet)
        for way, version in (("up", new), ("back", old)):
            begun[way] = len(trial.load.started)
            codes += await _roll(trial, fleet, version)
            await asyncio.sleep(settle_s)
        died = [name for name in fleet.names() if not fleet.alive(name)]
        await trial.calm()
    failed = sum(stored.state == FAILED for stored in trial.history.tables.executions.values())
    report.violations = [str(violation) for violation in trial.violations]
    report.figures = trial.figures | {
        "older version": old.name,
        "commits between": int(_git("rev-list", "--count", f"{old.name}..HEAD")),
        "migrations between": len(_migrations("HEAD") - _migrations(old.name)),
        "processes changed": len(codes),
        "acknowledged before, on the way up, on the way back": [
            begun["up"],
            begun["back"] - begun["up"],
            len(trial.load.started) - begun["back"],
        ],
        "executions that failed": failed,
    }
    report.goals["nothing lost"] = trial.figures["lost"] == 0
    report.goals["nothing doubled"] = trial.figures["doubled"] == 0
    report.goals["every process ends with exit code 0"] = all(code == 0 for code in codes)
    report.goals[f"no process dies{f' (died: {died})' if died else ''}"] = not died
    report.goals["no execution failed"] = failed == 0
    return report


async def _roll(trial: Trial, fleet: Services, version: Version) -> Sequence[int | None]:
    """Bring one process after the other to a version; return how they ended."""
    codes = []
    for service in ORDER:
        for name in fleet.names(service):
            fault = trial.faults.begin("term", name)
            codes.append(await fleet.end(name))
            await fleet.start(name, version.env)
            await fleet.until_ready(READY_S)
            trial.faults.end(fault)
            await asyncio.sleep(PAUSE_S)
    return codes


async def _migrate(fleet: Services) -> None:
    """Run our migrations on the tables that the older version made."""
    place = fleet.cluster.folder / "upgrade"
    place.mkdir()
    env = {**fleet.cluster.processes["executor-1"].env, "PYTHONPATH": ""}
    with (place / "log").open("wb") as output:
        child = await launch([*LEVADA, "migrate"], env=env, folder=place, output=output)
        code = await child.wait()
    assert code == 0, (place / "log").read_text()
