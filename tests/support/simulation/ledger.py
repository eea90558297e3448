"""The ledger: what really ran, written by the task itself, read by nobody but the oracle.

`Work` is the only task of the simulation that has effects: it writes a line when it begins, takes virtual time, and writes
how it ended. Length and failure follow from the seed and the attempt, not from the order of events.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any, ClassVar

from levada.sdk import RunContext, Task
from levada.sdk.task import TaskFailed
from simulation.loop import PROCESS, Process


@dataclass(slots=True)
class Entry:
    """One run of one attempt. `outcome` is None while it runs, then ok, failed, cancelled or died."""

    execution_id: str
    task_run_id: str
    task_id: str
    attempt: int
    nonce: str
    process: Process
    began: float
    #: It does not give in to a kill at once.
    deaf: bool = False
    ended: float | None = None
    outcome: str | None = None

    def close(self, outcome: str, at: float) -> None:
        if self.outcome is None:
            self.outcome, self.ended = outcome, at


class Ledger:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.entries: list[Entry] = []

    def begin(self, ctx: RunContext, process: Process, *, deaf: bool) -> Entry:
        process.check()
        entry = Entry(
            ctx.execution_id,
            ctx.task_run_id,
            ctx.task_id,
            ctx.attempt,
            f"{len(self.entries)}",
            process,
            process.loop.time(),
            deaf,
        )
        self.entries.append(entry)
        process.on_death.append(lambda: entry.close("died", process.loop.time()))
        return entry


class Work(Task):
    """Takes about `seconds`; fails with the probability `fails`; `deaf` seconds pass before it gives in to a kill."""

    TYPE: ClassVar[str] = "simulation.Work"

    seconds: float = 1.0
    fails: float = 0.0
    deaf: float = 0.0

    async def run(self, ctx: RunContext) -> Any:
        process = PROCESS.get()
        assert process is not None, "Work runs only inside a simulated worker"
        ledger: Ledger = process.loop.ledger  # type: ignore[attr-defined]
        chance = random.Random(f"{ledger.seed}/{ctx.task_run_id}/{ctx.attempt}")
        entry = ledger.begin(ctx, process, deaf=self.deaf > 0)
        try:
            await asyncio.sleep(self.seconds * (0.2 + 1.6 * chance.random()))
        except asyncio.CancelledError:
            if self.deaf and not process.dead:
                await asyncio.sleep(self.deaf)
            entry.close("cancelled", process.loop.time())
            raise
        process.check()
        outputs = {"attempt": ctx.attempt, "nonce": entry.nonce}
        if chance.random() < self.fails:
            entry.close("failed", process.loop.time())
            raise TaskFailed("drawn from the seed", outputs)
        entry.close("ok", process.loop.time())
        return outputs
