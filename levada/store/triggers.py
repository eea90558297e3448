"""The port of schedules and webhook deliveries: what was declared, what is due, what was fired.

A schedule is fired in one step, `advance`: the row of the date is inserted and the next date is set where the schedule
still stands as it was read. So every date is fired once, whoever looks at it, and nobody holds a lock in between. The
command is kept with the date until it was sent; whoever finds one unsent for long sends it again under the same id.

Definitions are opaque here: levada_scheduler writes and reads them. Times are epoch microseconds of the clock that `now`
reads, the database's. Adapters: `store/postgres/triggers.py` and `store/memory/triggers.py`; one contract suite
(tests/contract/test_triggers.py) runs over both. Every method raises `Transient` when the database is away.
"""

import zlib
from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from levada.store.port import FlowRow

SHARDS = 4096
#: The shortest pause before a schedule that waits for an execution is looked at again.
SHORTEST_WAIT_US = 50_000


def uid(tenant: str, namespace: str, flow_id: str, trigger_id: str) -> str:
    """Return the key of a trigger; no part can have a slash."""
    return f"{tenant}/{namespace}/{flow_id}/{trigger_id}"


def shard_of(uid: str) -> int:
    return zlib.crc32(uid.encode()) % SHARDS


def look_again(now: int, following: int | None, neglected: int | None, fired: int | None) -> int | None:
    """Return the earliest of three reasons to look again, see `TriggerStore.upcoming`.

    The next date, when the grace of others is over, and when the latest execution that something waits for was fired.
    """
    waiting = None if fired is None else now + max((now - fired) // 4, SHORTEST_WAIT_US)
    return min((at for at in (following, neglected, waiting) if at is not None), default=None)


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule as a revision of a flow declares it. With the `signature` of before, its next date stays."""

    tenant: str
    namespace: str
    flow_id: str
    trigger_id: str
    type: str
    definition: str
    signature: str
    active: bool = True
    allow_concurrent: bool = False
    stop_after: Sequence[str] = ()

    @property
    def uid(self) -> str:
        return uid(self.tenant, self.namespace, self.flow_id, self.trigger_id)


class FlowSchedules(msgspec.Struct, frozen=True, kw_only=True):
    """All schedules of a revision of a flow; none when it has none, is deleted or can not be read (`error`)."""

    tenant: str
    namespace: str
    flow_id: str
    revision: int
    schedules: Sequence[Declared] = ()
    error: str | None = None


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule to look at now: `next_slot` has come, or (`probe`) is where to look for the first date.

    `stopped_by` says which execution ended so that the schedule shall stop (stopAfter).
    """

    uid: str
    revision: int
    definition: str
    next_slot: int
    probe: bool
    stopped_by: str | None = None


class Fire(msgspec.Struct, frozen=True):
    """A date that is fired: `body` is the encoded StartExecution with this id."""

    slot: int
    execution_id: str
    body: bytes


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a schedule that stood at `expected`; nothing, if it does not any more."""

    uid: str
    revision: int
    expected: int
    next_slot: int | None
    probe: bool = False
    fires: Sequence[Fire] = ()
    skipped: int = 0
    note: str | None = None
    error: str | None = None
    stop: bool = False


class TriggerState(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as people see it. `waits_for`: the execution that must end before the next date is fired."""

    tenant: str
    namespace: str
    flow_id: str
    trigger_id: str
    type: str
    revision: int
    active: bool
    disabled: bool
    next_slot: int | None
    probe: bool
    last_slot: int | None
    last_fired: int | None
    last_execution: str | None
    skipped: int
    note: str | None
    error: str | None
    updated: int
    waits_for: str | None = None


class TriggerStore(Protocol):
    async def now(self) -> int:
        """Return the time by which schedules are due, the same for every scheduler."""

    async def upcoming(self, now: int, grace_us: int = 0) -> int | None:
        """Return when to look again; None if nothing will be due.

        That is at the earliest date after `now`; for what is due and somebody else's, when `grace_us` are over; for what
        waits for its former execution, after a quarter of the time that this has run.
        """

    async def due(self, now: int, limit: int, *, share: tuple[int, int] = (0, 1), grace_us: int = 0) -> list[Due]:
        """Return up to `limit` schedules due by `now`, the latest dates first, so that a backlog delays no other.

        `share` (index, count): only this part of all, and of the others those due for longer than `grace_us`. Left out
        are those that wait for their former execution.
        """

    async def advance(self, steps: Sequence[Step]) -> list[Fire]:
        """Take the steps, each if its schedule still stands at `expected`; return what was fired by them."""

    async def sent(self, execution_ids: Collection[str]) -> None:
        """Remember that these commands were sent."""

    async def unsent(self, older_us: int, limit: int) -> list[Fire]:
        """Return commands not sent for so long, to be sent by the caller; nobody else gets them for as long again."""

    async def outdated(self, format: int, since: str | None, limit: int) -> tuple[list[FlowRow], str]:
        """Return revisions in force that `declare` does not know of, and the mark for the next call's `since`.

        With `since` only what was written after that mark; None for everything. The mark holds if fewer than `limit` came.
        """

    async def vanished(self) -> list[tuple[str, str, str]]:
        """Return flows (tenant, namespace, id) that were declared and of which no revision is left."""

    async def declare(self, format: int, flows: Sequence[FlowSchedules]) -> int:
        """Set the schedules of flows, where the revision is the one in force; return of how many it was.

        A schedule that is new, changed its dates or was inactive begins with its first date from now on.
        """

    async def forget(self, flows: Sequence[tuple[str, str, str]]) -> None:
        """Remove the schedules of flows of which no revision is left."""

    async def retry_broken(self) -> None:
        """Let `outdated` name again the flows that could not be read: a newer installation may be able to."""

    async def states(self, tenant: str, namespace: str | None = None, flow_id: str | None = None) -> list[TriggerState]:
        """Return schedules, those of one namespace or flow if named."""

    async def tally(self) -> tuple[int, int]:
        """Return how many schedules are on, and how many of all can not be fired because something is wrong."""

    async def switch(self, uid: str, enabled: bool) -> bool:
        """Switch a schedule on (its next date is the first from now on) or off; False when there is none."""

    async def purge_fired(self, before: int, limit: int) -> int:
        """Forget dates that were fired before then and sent."""


class DeliveryKey(msgspec.Struct, frozen=True):
    """What a sender calls a delivery, and of which flow."""

    tenant: str
    namespace: str
    flow_id: str
    key: str


class Deliveries(Protocol):
    """What webhooks have delivered under an idempotency key."""

    async def claim(self, key: DeliveryKey, execution_id: str, at: int) -> tuple[str, int, bool]:
        """Return the execution of this key, when it was claimed, and whether its start is known to be sent.

        These are the given ones, or those of whoever came first.
        """

    async def sent(self, key: DeliveryKey) -> None:
        """Remember that the start of a claimed key is durable."""

    async def purge(self, before: int, limit: int) -> int:
        """Forget keys that were claimed before then."""
