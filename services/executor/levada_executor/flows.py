"""Flows for the executor: parsed once per revision, answered from memory while a batch is decided.

A start without revision means the latest one that may run; which one that is is asked for anew with every batch, because
a deploy may have happened in between. A flow that is gone, or does not parse any more, is None: the engine says so.
"""

import logging
from collections import OrderedDict

import msgspec

from levada.flowfile import InvalidFlow, parse
from levada.model.flow import Flow
from levada.sdk.registry import Registry
from levada.store.port import FlowRow, FlowStore

log = logging.getLogger("levada.executor")

Key = tuple[str, str, str, int | None]
MAX_KEPT = 2000


class Flows:
    def __init__(self, store: FlowStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._revisions: OrderedDict[Key, Flow | None] = OrderedDict()
        self._latest: dict[Key, Flow | None] = {}

    async def prepare(self, wanted: set[Key]) -> None:
        """Have these at hand for `find`."""
        self._latest.clear()
        for key in wanted:
            if key[3] is None:
                row = await self._store.get(*key)
                self._latest[key] = None if row is None else self._read(row)
            elif key not in self._revisions:
                row = await self._store.get(*key, allow_deleted=True)
                if row is not None:
                    self._read(row)

    def find(self, tenant: str, namespace: str, id: str, revision: int | None) -> Flow | None:
        key = (tenant, namespace, id, revision)
        return self._latest.get(key) if revision is None else self._revisions.get(key)

    def _read(self, row: FlowRow) -> Flow | None:
        key = (row.tenant, row.namespace, row.id, row.revision)
        if key in self._revisions:
            flow = self._revisions[key]
            self._revisions.move_to_end(key)
        else:
            flow = self._revisions[key] = self._parse(row)
            while len(self._revisions) > MAX_KEPT:
                self._revisions.popitem(last=False)
        return flow

    def _parse(self, row: FlowRow) -> Flow | None:
        try:
            parsed = parse(row.source, self._registry, tenant=row.tenant, revision=row.revision, lenient=True)
        except InvalidFlow as error:
            log.error("revision %d of flow %s.%s can not be read: %s", row.revision, row.namespace, row.id, error)
            return None
        return msgspec.structs.replace(
            parsed.flow, disabled=row.disabled, deleted=row.deleted, draft=row.draft, revision=row.revision
        )
