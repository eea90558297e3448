"""`FlowStore` in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from levada.store.changes import same, sorted_by
from levada.store.memory.tables import Tables
from levada.store.port import Exists, FlowRow, Missing

SORTS = frozenset({"id", "namespace", "revision", "updated"})


class MemoryFlowStore:
    def __init__(self, tables: Tables) -> None:
        self._flows = tables.flows

    async def get(
        self, tenant: str, namespace: str, id: str, revision: int | None = None, *, allow_deleted: bool = False
    ) -> FlowRow | None:
        revisions = self._flows.get((tenant, namespace, id), {})
        found = revisions.get(revision) if revision is not None else _latest(revisions)
        return None if found is None or (found.deleted and not allow_deleted) else found

    async def save(self, row: FlowRow, *, must: str = "any") -> FlowRow:
        revisions = self._flows.setdefault((row.tenant, row.namespace, row.id), {})
        latest = _latest(revisions)
        live = latest is not None and not latest.deleted
        if must == "create" and live:
            raise Exists(f"flow {row.id} exists already in namespace {row.namespace}")
        if must == "update" and not live:
            raise Missing(f"there is no flow {row.id} in namespace {row.namespace}")
        if latest is not None and live and same(latest, row):
            return latest
        saved = msgspec.structs.replace(row, revision=latest.revision + 1 if latest else 1)
        revisions[saved.revision] = saved
        return saved

    async def delete(self, tenant: str, namespace: str, id: str, at: int) -> FlowRow | None:
        revisions = self._flows.get((tenant, namespace, id), {})
        latest = _latest(revisions)
        if latest is None or latest.deleted:
            return None
        deleted = msgspec.structs.replace(latest, revision=latest.revision + 1, deleted=True, updated=at)
        revisions[deleted.revision] = deleted
        return deleted

    async def revisions(self, tenant: str, namespace: str, id: str) -> list[FlowRow]:
        revisions = self._flows.get((tenant, namespace, id), {})
        return [revisions[number] for number in sorted(revisions)]

    async def delete_revisions(self, tenant: str, namespace: str, id: str, revisions: Sequence[int]) -> int:
        present = self._flows.get((tenant, namespace, id), {})
        return sum(present.pop(revision, None) is not None for revision in set(revisions))

    async def search(
        self,
        tenant: str,
        *,
        text: str | None = None,
        namespace: str | None = None,
        namespace_prefix: bool = True,
        labels: Mapping[str, str] | None = None,
        sort: Sequence[tuple[str, bool]] = (),
        limit: int = 10,
        offset: int = 0,
    ) -> tuple[list[FlowRow], int]:
        found = [
            row
            for row in self._live(tenant)
            if (
                not text
                or any(text.lower() in (value or "").lower() for value in (row.namespace, row.id, row.description))
            )
            and (namespace is None or within(row.namespace, namespace, below=namespace_prefix))
            and all(row.labels.get(key) == value for key, value in (labels or {}).items())
        ]
        found.sort(key=lambda row: (row.namespace, row.id))
        return sorted_by(found, sort, SORTS)[offset : offset + limit], len(found)

    async def namespaces(self, tenant: str) -> list[str]:
        return sorted({row.namespace for row in self._live(tenant)})

    def _live(self, tenant: str) -> list[FlowRow]:
        latest = [_latest(revisions) for key, revisions in self._flows.items() if key[0] == tenant]
        return [row for row in latest if row is not None and not row.deleted]


def within(namespace: str, wanted: str, *, below: bool) -> bool:
    return namespace == wanted or (below and namespace.startswith(f"{wanted}."))


def _latest(revisions: Mapping[int, FlowRow]) -> FlowRow | None:
    return revisions[max(revisions)] if revisions else None
