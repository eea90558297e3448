"""`DeadLetters` and `Diagnosis` in memory."""

from __future__ import annotations

import msgspec

from levada.store.memory.tables import Tables
from levada.store.operations import AcceptedFact, LeaseFact, ParkedLetter, SlotFact, TimerFact
from levada.store.port import DeadLetter


class MemoryDeadLetters:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._handled: dict[int, ParkedLetter] = {}

    async def page(
        self,
        *,
        topic: str | None = None,
        key: str | None = None,
        handled: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[ParkedLetter], int]:
        found = [
            letter
            for letter in map(self._parked, range(len(self._tables.dead), 0, -1))
            if (topic is None or letter.topic == topic)
            and (key is None or letter.key == key)
            and (handled or letter.open)
        ]
        return found[offset : offset + limit], len(found)

    async def get(self, id: int) -> ParkedLetter | None:
        return self._parked(id) if 0 < id <= len(self._tables.dead) else None

    async def mark_replayed(self, id: int, at: int, by: str | None) -> bool:
        return self._mark(id, replayed=at, handled_by=by)

    async def mark_dropped(self, id: int, at: int, by: str | None) -> bool:
        return self._mark(id, dropped=at, handled_by=by)

    async def reopen(self, id: int) -> None:
        self._handled.pop(id, None)

    def _mark(self, id: int, **changes: object) -> bool:
        letter = self._parked(id)
        if not letter.open:
            return False
        self._handled[id] = msgspec.structs.replace(letter, **changes)
        return True

    def _parked(self, id: int) -> ParkedLetter:
        if id in self._handled:
            return self._handled[id]
        dead: DeadLetter = self._tables.dead[id - 1]
        values = {name: getattr(dead, name) for name in DeadLetter.__struct_fields__}
        return ParkedLetter(**{**values, "id": id})


class MemoryDiagnosis:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def leases(self, execution_id: str) -> list[LeaseFact]:
        return [
            LeaseFact(id, row.state, row.queue, row.attempt, row.submitted, row.worker, row.until or None)
            for (of, id), row in self._tables.leases.items()
            if of == execution_id
        ]

    async def timers(self, execution_id: str) -> list[TimerFact]:
        found = [row for (of, _, _), row in self._tables.timers.items() if of == execution_id]
        facts = [TimerFact(str(row.due.kind), row.due.due, row.fired, row.due.task_run_id) for row in found]
        return sorted(facts, key=lambda fact: fact.due)

    async def slots(self, flow_key: str) -> list[SlotFact]:
        rows = self._tables.slots.get(flow_key, {})
        facts = [SlotFact(id, slot.holds, slot.at) for id, slot in rows.items()]
        return sorted(facts, key=lambda fact: (not fact.holds, fact.at))

    async def accepted(self, execution_id: str) -> list[AcceptedFact]:
        rows = [row for row in self._tables.ingress.values() if row.key == execution_id]
        return [AcceptedFact(row.id, row.partition, row.at) for row in sorted(rows, key=lambda row: row.at)]

    async def ahead(self, queue: str, submitted: int) -> int:
        return sum(
            row.state == "submitted" and row.queue == queue and row.submitted < submitted
            for row in self._tables.leases.values()
        )
