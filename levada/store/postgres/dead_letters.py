"""Messages that could not be read or applied: `DeadLetters` in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from levada.database import Database, Statements
from levada.store.operations import ParkedLetter

SQL = Statements(Path(__file__).parent / "sql" / "dead_letters")


class PostgresDeadLetters:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        *,
        topic: str | None = None,
        key: str | None = None,
        handled: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[ParkedLetter], int]:
        rows = await self._database.fetch(SQL["page"], topic, key, handled, limit, offset)
        return [_letter(row) for row in rows], int(await self._database.fetchval(SQL["count"], topic, key, handled))

    async def get(self, id: int) -> ParkedLetter | None:
        rows = await self._database.fetch(SQL["get"], id)
        return _letter(rows[0]) if rows else None

    async def mark_replayed(self, id: int, at: int, by: str | None) -> bool:
        return await self._database.fetchval(SQL["mark_replayed"], id, at, by) is not None

    async def mark_dropped(self, id: int, at: int, by: str | None) -> bool:
        return await self._database.fetchval(SQL["mark_dropped"], id, at, by) is not None

    async def reopen(self, id: int) -> None:
        await self._database.execute(SQL["reopen"], id)


def _letter(row: Sequence[Any]) -> ParkedLetter:
    id, topic, part, off, key, reason, detail, body, at, replayed, dropped, by = row
    return ParkedLetter(
        id=id,
        topic=topic,
        partition=part,
        offset=off,
        key=key,
        reason=reason,
        detail=detail,
        body=bytes(body),
        at=at,
        replayed=replayed,
        dropped=dropped,
        handled_by=by,
    )
