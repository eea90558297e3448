"""Which partitions of a topic this process owns: a lease to be counted as alive, and a fair share among those who are.

There is no coordinator. Every member says every quarter of its lease that it is there, looks who else is and who owns what,
and works out its share: the partitions divided by the living members, the first in order of their names taking one more
where it does not come out even. Who has more than that gives partitions back between two batches; who has less takes what
nobody living owns. The shares add up to all partitions, so this settles within two beats of any change.

A wrong belief about who is alive costs a reload and nothing else: taking a partition raises its epoch, and every commit
checks it. So the lease may be short, and a member that was frozen finds out with its next commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from levada.model.errors import Transient
from levada.runtime import metrics
from levada.runtime.clock import Clock
from levada.store.members import Members, Ownership

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 4
#: A partition that nobody had for longer was no matter of rebalancing: the service was off.
REBALANCE_LONGEST_US = 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Share:
    """How many partitions are this member's due, and what others own."""

    due: int
    mine: frozenset[int]
    free: int


class Partitions:
    """The partitions of one topic, for one member of a service. `run` beats; the owner calls the rest between batches."""

    def __init__(
        self,
        members: Members,
        *,
        service: str,
        name: str,
        topic: str,
        partitions: int,
        clock: Clock,
        lease_s: float,
        info: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """`name` must be no other process's, ever; `info` is what the others, and people, shall know of this member."""
        self.name = name
        self.topic = topic
        self._members = members
        self._service = service
        self._count = partitions
        self._clock = clock
        self._lease_s = lease_s
        self._info = info
        self._share = Share(0, frozenset(), 0)
        self._made = False
        self._beaten = asyncio.Event()

    # --- beating

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until `stop`. A beat that fails is tried again at the next; the lease allows for three."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(self._lease_s):
                    await self.beat()
            except (Transient, TimeoutError) as error:
                log.warning("%s %s can not say that it is there: %s", self._service, self.name, error)
            await _until(stop, self._lease_s / BEATS_PER_LEASE, self._clock.sleep)

    async def beat(self) -> None:
        """Say that we are there and work out our share."""
        if not self._made:
            await self._members.make(self.topic, self._count)
            self._made = True
        await self._members.beat(self._service, self.name, self._lease_s, self._info())
        living, owners = await self._members.survey(self._service, self.topic)
        self._share = share_of(self.name, living, owners)
        self._beaten.set()

    async def leave(self) -> None:
        """Give everything back and be gone."""
        await self._members.leave(self._service, self.name)

    # --- owning: called by whoever reads the partitions, between batches

    async def again(self) -> list[Ownership]:
        """After any doubt: raise the epochs of what is ours, so that nothing of before can still be written."""
        if not self._beaten.is_set():
            await self.beat()
        mine = await self._members.reclaim(self.topic, self.name)
        self._share = replace(self._share, mine=frozenset(one.partition for one in mine))
        return mine

    def lost(self, held: Collection[int]) -> list[int]:
        """Return which of the partitions that are held are others' as of the last beat.

        A commit would say so too, but where nothing is to be read there is no commit, and a partition that one member
        believes to be its share, and is not, keeps another one without an owner.
        """
        return sorted(set(held) - self._share.mine)

    def surplus(self, held: Collection[int]) -> list[int]:
        """Return which of the partitions that are held should be given back: those beyond our share, the last first."""
        over = len(held) - self._share.due
        return sorted(held)[-over:] if over > 0 else []

    def lacks(self, held: Collection[int]) -> int:
        """Return how many partitions to take: up to our share, and not more than are free."""
        return max(min(self._share.due - len(held), self._share.free), 0)

    async def take(self, held: Collection[int]) -> list[Ownership]:
        """Take what we lack of what is free."""
        wanted = self.lacks(held)
        if not wanted:
            return []
        taken = await self._members.take(self._service, self.topic, self.name, wanted)
        mine = self._share.mine | {one.partition for one in taken}
        self._share = Share(self._share.due, mine, max(self._share.free - len(taken), 0))
        for one in taken:
            if one.idle_us is not None and one.idle_us < REBALANCE_LONGEST_US:
                metrics.REBALANCE_PAUSE.observe(one.idle_us / 1_000_000, self.topic)
        if taken:
            log.info("%s took partitions %s of %s", self.name, [one.partition for one in taken], self.topic)
        return taken

    async def give_back(self, partitions: Collection[int]) -> None:
        await self._members.release(self.topic, self.name, sorted(partitions))
        self._share = replace(self._share, mine=self._share.mine - frozenset(partitions))
        log.info("%s gave back partitions %s of %s", self.name, sorted(partitions), self.topic)


def share_of(name: str, living: list[str], owners: Mapping[int, str | None]) -> Share:
    """Return the share of a member; `living` is sorted, the same for everybody."""
    members = living if name in living else sorted([*living, name])
    each, rest = divmod(len(owners), len(members))
    due = each + (members.index(name) < rest)
    mine = frozenset(part for part, owner in owners.items() if owner == name)
    return Share(due, mine, sum(owner is None for owner in owners.values()))


async def _until(stop: asyncio.Event, seconds: float, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Wait for the event, but no longer than `seconds` of the given clock."""
    waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(sleep(seconds))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
