"""`Members` and `Ingress` in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from levada.store.members import Member, Ownership
from levada.store.memory.tables import Owner, Tables
from levada.store.port import Accepted


@dataclass(slots=True)
class _Seat:
    started: int
    lease_until: int
    info: dict[str, Any] = field(default_factory=dict)


class MemoryMembers:
    """`now_us` stands for the clock of the database, the same for everybody who shares these tables."""

    def __init__(self, tables: Tables, *, now_us: Callable[[], int]) -> None:
        self._tables = tables
        self._now_us = now_us
        self._seats: dict[tuple[str, str], _Seat] = tables.members

    async def beat(self, service: str, name: str, lease_s: float, info: Mapping[str, Any]) -> None:
        now = self._now_us()
        seat = self._seats.setdefault((service, name), _Seat(now, now))
        seat.lease_until, seat.info = now + int(lease_s * 1_000_000), dict(info)

    async def leave(self, service: str, name: str) -> None:
        self._seats.pop((service, name), None)
        for owners in self._tables.owned_by_topic():
            for owner in owners.values():
                if owner.owner == name:
                    owner.owner, owner.freed = "", self._now_us()

    async def all(self, service: str | None = None) -> list[Member]:
        return [
            Member(
                service=of,
                name=name,
                started=seat.started,
                lease_until=seat.lease_until,
                live=seat.lease_until > self._now_us(),
                info=dict(seat.info),
            )
            for (of, name), seat in sorted(self._seats.items())
            if service is None or of == service
        ]

    async def survey(self, service: str, topic: str) -> tuple[list[str], dict[int, str | None]]:
        living = self._living(service)
        owners = self._tables.owners_of(topic)
        return sorted(living), {part: row.owner if row.owner in living else None for part, row in owners.items()}

    async def take(self, service: str, topic: str, name: str, limit: int) -> list[Ownership]:
        living = self._living(service)
        rows = self._tables.owners_of(topic)
        free = [part for part, row in sorted(rows.items()) if row.owner not in living]
        taken = []
        for part in free[:limit]:
            idle_us = self._idle_us(service, rows[part])
            rows[part].owner = name
            taken.append(structs.replace(_raised(part, rows[part]), idle_us=idle_us))
        return taken

    def _idle_us(self, service: str, row: Owner) -> int | None:
        seat = self._seats.get((service, row.owner))
        since = row.freed if not row.owner else seat.lease_until if seat is not None else None
        return None if since is None else self._now_us() - since

    async def reclaim(self, topic: str, name: str) -> list[Ownership]:
        rows = self._tables.owners_of(topic)
        return [_raised(part, row) for part, row in sorted(rows.items()) if row.owner == name]

    async def release(self, topic: str, name: str, partitions: Sequence[int]) -> None:
        rows = self._tables.owners_of(topic)
        for part in partitions:
            if part in rows and rows[part].owner == name:
                rows[part].owner, rows[part].freed = "", self._now_us()

    async def make(self, topic: str, partitions: int) -> None:
        rows = self._tables.owners_of(topic)
        for part in range(partitions):
            rows.setdefault(part, Owner())

    def _living(self, service: str) -> set[str]:
        now = self._now_us()
        return {name for (of, name), seat in self._seats.items() if of == service and seat.lease_until > now}


class MemoryIngress:
    def __init__(self, tables: Tables) -> None:
        self._rows = tables.ingress

    async def accept(self, commands: Sequence[Accepted]) -> None:
        for command in commands:
            self._rows.setdefault(command.id, command)

    async def pending(self, ids: Sequence[str]) -> set[str]:
        return {id for id in ids if id in self._rows}

    async def waiting(self, partitions: Sequence[int], before: int, limit: int) -> list[Accepted]:
        wanted = set(partitions)
        found = [row for row in self._rows.values() if row.partition in wanted and row.at < before]
        return sorted(found, key=lambda row: row.at)[:limit]

    async def of(self, partitions: Sequence[int], keys: Sequence[str]) -> list[Accepted]:
        return [row for row in self._rows.values() if row.partition in partitions and row.key in keys]


def _raised(part: int, row: Owner) -> Ownership:
    row.epoch += 1
    return Ownership(part, row.epoch, row.done_off, row.out_next, row.relay_off)
