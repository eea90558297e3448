"""`KvStore` in memory."""

from __future__ import annotations

import copy

import msgspec

from levada.store.memory.tables import Tables
from levada.store.port import KvRow


class MemoryKvStore:
    def __init__(self, tables: Tables) -> None:
        self._rows = tables.kv

    async def get(self, tenant: str, namespace: str, key: str) -> KvRow | None:
        return copy.deepcopy(self._rows.get((tenant, namespace, key)))

    async def put(self, row: KvRow, *, overwrite: bool = True) -> bool:
        place = (row.tenant, row.namespace, row.key)
        present = self._rows.get(place)
        gone = present is not None and present.expires is not None and present.expires <= row.updated
        if present is not None and not gone:
            if not overwrite:
                return False
            row = msgspec.structs.replace(row, created=present.created)
        self._rows[place] = copy.deepcopy(row)
        return True

    async def delete(self, tenant: str, namespace: str, key: str) -> bool:
        return self._rows.pop((tenant, namespace, key), None) is not None

    async def list(self, tenant: str, namespace: str | None = None, prefix: str = "") -> list[KvRow]:
        return [
            copy.deepcopy(self._rows[place])
            for place in sorted(self._rows)
            if place[0] == tenant and namespace in (None, place[1]) and place[2].startswith(prefix)
        ]

    async def purge_expired(self, now: int, limit: int) -> int:
        due = sorted(
            (row.expires, place) for place, row in self._rows.items() if row.expires is not None and row.expires <= now
        )[:limit]
        for _, place in due:
            del self._rows[place]
        return len(due)
