"""The store port for those who operate an installation: dead letters, and the facts behind "why does this not move?".

Adapters: `store/postgres/{dead_letters,diagnosis}.py` and `store/memory/operations.py`. Times are epoch microseconds; every
method raises `Transient` when the database is away. Nothing here changes an execution: what people decide travels as
commands, like everything else.
"""

from typing import Protocol

import msgspec

from levada.store.port import DeadLetter


class ParkedLetter(DeadLetter, frozen=True, kw_only=True):
    """A dead letter and what became of it: open, sent again, or dropped."""

    replayed: int | None = None
    dropped: int | None = None
    handled_by: str | None = None

    @property
    def open(self) -> bool:
        return self.replayed is None and self.dropped is None


class DeadLetters(Protocol):
    async def page(
        self,
        *,
        topic: str | None = None,
        key: str | None = None,
        handled: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[ParkedLetter], int]:
        """Return dead letters, newest first, and how many there are; only open ones unless `handled`."""

    async def get(self, id: int) -> ParkedLetter | None: ...

    async def mark_replayed(self, id: int, at: int, by: str | None) -> bool:
        """Return whether it was open until now; only one caller can be told so."""

    async def mark_dropped(self, id: int, at: int, by: str | None) -> bool:
        """Return whether it was open until now."""

    async def reopen(self, id: int) -> None:
        """Take back `mark_replayed`, because sending it failed."""


class LeaseFact(msgspec.Struct, frozen=True):
    """An attempt on the work queue; `lease` as in jobs/postgres.py."""

    task_run_id: str
    lease: str
    queue: str
    attempt: int
    submitted: int | None
    worker: str | None
    until: int | None


class TimerFact(msgspec.Struct, frozen=True):
    kind: str
    due: int
    fired: bool
    task_run_id: str | None


class SlotFact(msgspec.Struct, frozen=True):
    """An execution that holds a concurrency slot of a flow, or waits for one since `at`."""

    execution_id: str
    holds: bool
    at: int


class AcceptedFact(msgspec.Struct, frozen=True):
    """A command for the execution that is not applied yet."""

    id: str
    partition: int
    at: int


class Diagnosis(Protocol):
    async def leases(self, execution_id: str) -> list[LeaseFact]:
        """Return what of the execution is on the work queue, in order of creation; at most a hundred."""

    async def timers(self, execution_id: str) -> list[TimerFact]:
        """Return the timers of the execution by due time; at most a hundred."""

    async def slots(self, flow_key: str) -> list[SlotFact]:
        """Return who holds slots of a flow, then who waits, in order."""

    async def accepted(self, execution_id: str) -> list[AcceptedFact]:
        """Return the accepted commands that wait, oldest first; at most twenty."""

    async def ahead(self, queue: str, submitted: int) -> int:
        """Return how many attempts wait in the queue since before then (counted up to ten thousand)."""
