"""What a harness says in the end: figures, violations, and what is needed to do it again. As JSON for machines, as lines for people."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
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
    return Report(harness, seed, options, commit=_commit(), machine=_machine())


def percentile(values: list[float], percent: float) -> float | None:
    """Return a percentile by the nearest rank; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = platform.release().split("-")[0]
    return f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, Linux {kernel}, Python {platform.python_version()}"
