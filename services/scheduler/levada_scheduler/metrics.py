"""What the scheduler counts."""

from __future__ import annotations

from collections.abc import Sequence

from levada.runtime import metrics
from levada.store.triggers import Fire, Step


def observe(fired: Sequence[Fire], steps: Sequence[Step], now: int) -> None:
    """Count one batch; lateness is from a date to now, the time by which it was found due."""
    for fire in fired:
        metrics.FIRE_LATENESS.observe(max(now - fire.slot, 0) / 1_000_000)
    metrics.FIRES.inc("fired", by=len(fired))
    metrics.FIRES.inc("lost", by=max(sum(len(step.fires) for step in steps) - len(fired), 0))
    metrics.FIRES.inc("skipped", by=sum(step.skipped for step in steps))
    metrics.FIRES.inc("error", by=sum(step.error is not None for step in steps))


def tally(running: int, broken: int) -> None:
    metrics.TRIGGERS.set(running)
    metrics.TRIGGERS_BROKEN.set(broken)
