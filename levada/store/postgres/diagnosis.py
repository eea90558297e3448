"""What the tables know about why an execution does not move: `Diagnosis` in Postgres."""

from __future__ import annotations

from pathlib import Path

from levada.database import Database, Statements
from levada.store.operations import AcceptedFact, LeaseFact, SlotFact, TimerFact

SQL = Statements(Path(__file__).parent / "sql" / "diagnosis")


class PostgresDiagnosis:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def leases(self, execution_id: str) -> list[LeaseFact]:
        return [LeaseFact(*row) for row in await self._database.fetch(SQL["leases"], execution_id)]

    async def timers(self, execution_id: str) -> list[TimerFact]:
        return [TimerFact(*row) for row in await self._database.fetch(SQL["timers"], execution_id)]

    async def slots(self, flow_key: str) -> list[SlotFact]:
        return [SlotFact(*row) for row in await self._database.fetch(SQL["slots"], flow_key)]

    async def accepted(self, execution_id: str) -> list[AcceptedFact]:
        return [AcceptedFact(*row) for row in await self._database.fetch(SQL["accepted"], execution_id)]

    async def ahead(self, queue: str, submitted: int) -> int:
        return int(await self._database.fetchval(SQL["ahead"], queue, submitted))
