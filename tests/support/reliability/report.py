"""What a harness says in the end: figures, violations, and what is needed to do it again. As JSON for machines, as lines for people."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SHOWN = 20
"""Violations that are printed; the report has them all."""


@dataclass
class Report:
    """`figures` are measured numbers by name, `goals` the ones that were asked for, each with whether it was reached."""

    harness: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    goals: dict[str, bool] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    commit: str = ""
    machine: str = ""
    #: When it began (UTC, to the minute), and how many seconds it took from the first start to the verdict.
    at: str = ""
    took_s: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.violations and all(self.goals.values())

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"passed": self.passed, **asdict(self)}, indent=2, default=str) + "\n")

    @classmethod
    def read(cls, path: Path) -> Report:
        found = json.loads(path.read_text())
        found.pop("passed", None)
        return cls(**found)

    def lines(self) -> list[str]:
        """Return what a person wants to know."""
        head = f"{self.harness}: seed {self.seed}: {'passed' if self.passed else 'FAILED'}"
        figures = [f"  {name}: {_short(value)}" for name, value in self.figures.items()]
        goals = [f"  {'reached' if reached else 'MISSED '}  {goal}" for goal, reached in self.goals.items()]
        broken = [f"  VIOLATION {text}" for text in self.violations[:SHOWN]]
        if len(self.violations) > SHOWN:
            broken.append(f"  and {len(self.violations) - SHOWN} more violations")
        return [head, *figures, *goals, *broken]


def made(harness: str, seed: int, **options: Any) -> Report:
    """Return an empty report that knows where and on what it was made."""
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    return Report(harness, seed, options, commit=commit(), machine=machine(), at=at)


def percentile(values: list[float], percent: float) -> float | None:
    """Return a percentile by the nearest rank; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def commit() -> str:
    """Return what was tested: the commit, and whether files differ from it."""
    head = _git("rev-parse", "--short=10", "HEAD")
    return f"{head or 'unknown'}{' + changes' if _git('status', '--porcelain', '--untracked-files=no') else ''}"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> str:
    """Return what it was tested on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel, cores = platform.release().split("-")[0], len(os.sched_getaffinity(0))
    return f"{cores} cores of {_model()}, {memory:.0f} GiB, Linux {kernel}, Python {platform.python_version()}"


def _model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(found.group(1).split()) if found else platform.machine()
