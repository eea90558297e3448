"""The store port, continued: what indexers write, and what is read of it.

`IndexStore` is the indexer's side: one `commit` is one transaction and carries the entries of a batch together with the
read position, under the epochs of the partitions they come from. So whatever is on the bus gets into the tables exactly
once, whoever dies when. `AuditStore` and `ExecutionCounts` are what api and command line read. Adapters: `store/postgres/`
and `store/memory/`; one contract suite (tests/contract/test_records.py) runs over both.

All times are epoch microseconds. Every method raises `Transient` when the database is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from levada.model.audit import AuditEntry, Outcome
from levada.model.errors import Defect
from levada.model.jobs import LogEntry, MetricEntry
from levada.model.states import State
from levada.store.port import DeadLetter

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


class Unwritable(Defect):
    """Something in the batch does not fit its column; nothing of it was written."""


class IndexBatch(msgspec.Struct, kw_only=True):
    """What was read from one topic. `epochs` and `positions` are per partition; only partitions that move are in them.

    `changed` are ids of executions whose counts are no longer right.
    """

    topic: str
    epochs: dict[int, int]
    positions: dict[int, int]
    logs: list[LogEntry] = []
    metrics: list[MetricEntry] = []
    audit: list[AuditEntry] = []
    changed: set[str] = set()
    dead: list[DeadLetter] = []


class IndexStore(Protocol):
    async def commit(self, batch: IndexBatch) -> None:
        """Write all of it and move the positions. Raises Fenced (an epoch changed) or Unwritable; then nothing is written."""

    async def positions(self, topic: str) -> dict[int, int]:
        """Return up to where each partition has been written (exclusive)."""


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """All given parts must hold. `namespace` matches it and its children; `text` is looked for in who and object."""

    text: str | None = None
    who: str | None = None
    actions: Sequence[str] = ()
    kinds: Sequence[str] = ()
    object: str | None = None
    namespace: str | None = None
    outcomes: Sequence[Outcome] = ()
    since: int | None = None
    until: int | None = None


class AuditStore(Protocol):
    async def write(self, entries: Sequence[AuditEntry]) -> None: ...

    async def search(
        self, tenant: str, filter: AuditFilter, *, limit: int = 10, offset: int = 0
    ) -> tuple[list[AuditEntry], int]:
        """Return the newest first, and how many there are (counted up to a limit)."""


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """`n` executions created from `at` on (to the next bound), in this state; `ended` of them have ended.

    `duration` is the sum over the ended ones. `namespace` and `flow_id` are None where the question did not ask for them.
    """

    at: int
    state: State
    n: int
    ended: int
    duration: int
    shortest: int | None = None
    longest: int | None = None
    namespace: str | None = None
    flow_id: str | None = None


class CountFilter(msgspec.Struct, frozen=True, kw_only=True):
    """`namespace` matches it and its children unless `exact`. `flows` are (namespace, id); None for all."""

    namespace: str | None = None
    exact: bool = False
    flow_id: str | None = None
    flows: Sequence[tuple[str, str]] | None = None
    states: Sequence[State] = ()


class ExecutionCounts(Protocol):
    """How many executions there were, without looking at them: rows per minute of creation, flow and state.

    Rows are recomputed from the executions of a marked minute, never added to: marking twice, or too much, or in several
    processes at once changes nothing. Executions of another kind than NORMAL and deleted ones are not counted.
    """

    async def counts(
        self, tenant: str, filter: CountFilter, bounds: Sequence[int], *, by: Sequence[str] = ()
    ) -> list[Count]:
        """Return the counts between each two of `bounds` (ascending, at least two, whole minutes), in order.

        `by` may hold "namespace" and "flow_id". What is zero is left out.
        """

    async def live(self) -> dict[tuple[str, State], int]:
        """Return how many executions have not ended now, by tenant and state. Exact; costs what they are many."""

    async def mark(self, execution_ids: Sequence[str]) -> None:
        """These executions have changed."""

    async def recompute(self, limit: int) -> int:
        """Recompute up to `limit` marked minutes, the newest first; return how many. 0 also when another process is at it."""

    async def sweep(self, now: int) -> int:
        """Mark what hints were lost for: where live executions or those of the last minutes are not as counted."""

    async def catch_up(self, now: int) -> int:
        """Mark everything since the newest minute that was counted (at most CATCH_UP_DAYS back): for a start after a stop."""

    async def forget(self, before: int) -> int:
        """Remove the counts of minutes before then."""


#: How far `catch_up` goes back, in days.
CATCH_UP_DAYS = 30
#: Minutes that `sweep` compares in full.
SWEPT_MINUTES = 3
GROUPS = ("namespace", "flow_id")


def check(bounds: Sequence[int], by: Sequence[str]) -> None:
    """Raise Defect for a question that has no answer here."""
    if len(bounds) < 2 or any(bound % MINUTE_US for bound in bounds) or sorted(set(bounds)) != list(bounds):
        raise Defect(f"bounds of counts must be ascending whole minutes, at least two: {list(bounds)[:10]}")
    if set(by) - set(GROUPS):
        raise Defect(f"executions are counted by {' or '.join(GROUPS)}, not by {', '.join(by)}")
