"""The port of membership: which processes serve, and which of them owns which partition of a topic.

Leases run on the clock of the database, so no process has to trust another one's. A partition is owned by name and epoch:
whoever takes it raises the epoch, and a commit that names an older one is refused (`Fenced`, store/port.py). Adapters:
`store/postgres/members.py` and `store/memory/members.py`; one contract suite (tests/contract/test_members.py) runs over
both. Times are epoch microseconds. Every method raises `Transient` when the database is away.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec


class Ownership(msgspec.Struct, frozen=True):
    """What taking over a partition gives: the fence, where to read on, and what was committed but maybe not sent."""

    partition: int
    epoch: int
    done_off: int
    out_next: int
    relay_off: int
    #: How long nobody had owned it when it was taken, microseconds; None where nobody had before, or it was ours.
    idle_us: int | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A process that serves. `live`: its lease has not run out. Times are epoch microseconds of the database's clock."""

    service: str
    name: str
    started: int
    lease_until: int
    live: bool
    #: What it says of itself: version, address, slots, running, queues, tags …
    info: dict[str, Any] = {}


class Members(Protocol):
    """Who serves. Leases run on the clock of the database."""

    async def beat(self, service: str, name: str, lease_s: float, info: Mapping[str, Any]) -> None:
        """Say that this process is there for `lease_s` more seconds."""

    async def leave(self, service: str, name: str) -> None:
        """Say that it is gone; what it owned may be taken at once."""

    async def all(self, service: str | None = None) -> list[Member]:
        """Return who is there and who was lately (the dead are forgotten after an hour), by service and name."""

    async def survey(self, service: str, topic: str) -> tuple[list[str], dict[int, str | None]]:
        """Return the names of the living members of a service, sorted, and who owns each partition of a topic.

        A partition whose owner is dead is nobody's (None).
        """

    async def take(self, service: str, topic: str, name: str, limit: int) -> list[Ownership]:
        """Take up to `limit` partitions that no living member owns; raises their epochs."""

    async def reclaim(self, topic: str, name: str) -> list[Ownership]:
        """Raise the epochs of all partitions in this name and return them: nothing begun before can commit any more."""

    async def release(self, topic: str, name: str, partitions: Sequence[int]) -> None:
        """Give partitions back; those that are somebody else's by now are left alone."""

    async def make(self, topic: str, partitions: int) -> None:
        """Make the rows of a topic's partitions unless they are there."""
