"""Parsed flows, kept: a start must not parse YAML, nor ask the database which revision is the latest.

A revision never changes once it is stored, so its parsed form is kept until it is crowded out. Which revision is the
latest can change: this process is told (`forget`) when it saves one itself, and trusts its knowledge for TRUST_S when
another process might have. Stored sources are read leniently, because they were valid when they were saved.
"""

from collections import OrderedDict

import msgspec

from levada.flowfile import parse
from levada.model.flow import Flow
from levada.runtime.clock import Clock
from levada.sdk.registry import Registry
from levada.store.port import FlowRow, FlowStore

KEPT = 2000
TRUST_S = 1.0

Name = tuple[str, str, str]


class Definitions:
    """Not thread-safe: everything happens on one event loop."""

    def __init__(self, store: FlowStore, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._parsed: OrderedDict[tuple[str, str, str, int], Flow] = OrderedDict()
        self._latest: dict[Name, tuple[float, Flow]] = {}

    async def get(
        self,
        tenant: str,
        namespace: str,
        flow_id: str,
        revision: int | None = None,
        *,
        allow_deleted: bool = False,
    ) -> Flow | None:
        """Return a flow by revision, or the latest live one. Raises InvalidFlow for a source that cannot be read."""
        if revision is not None:
            kept = self._parsed.get((tenant, namespace, flow_id, revision))
            if kept is not None and (allow_deleted or not kept.deleted):
                return kept
            row = await self._store.get(tenant, namespace, flow_id, revision, allow_deleted=allow_deleted)
            return None if row is None else self._read(row)
        name = (tenant, namespace, flow_id)
        now = self._clock.monotonic()
        known = self._latest.get(name)
        if known is not None and now - known[0] < TRUST_S:
            return known[1]
        row = await self._store.get(tenant, namespace, flow_id)
        if row is None:
            self._latest.pop(name, None)
            return None
        flow = self._read(row)
        if len(self._latest) >= KEPT:
            self._latest.clear()
        self._latest[name] = (now, flow)
        return flow

    def forget(self, tenant: str, namespace: str, flow_id: str) -> None:
        """A revision was saved or deleted: look again which is the latest."""
        self._latest.pop((tenant, namespace, flow_id), None)

    def _read(self, row: FlowRow) -> Flow:
        key = (row.tenant, row.namespace, row.id, row.revision)
        kept = self._parsed.get(key)
        if kept is not None:
            self._parsed.move_to_end(key)
            return kept
        parsed = parse(row.source, self._registry, tenant=row.tenant, revision=row.revision, lenient=True)
        flow = msgspec.structs.replace(
            parsed.flow, disabled=row.disabled, deleted=row.deleted, draft=row.draft, revision=row.revision
        )
        self._parsed[key] = flow
        if len(self._parsed) > KEPT:
            self._parsed.popitem(last=False)
        return flow
