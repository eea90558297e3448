"""Flows for the executor: parsed once per revision, answered from memory while a batch is decided.

A start without revision means the latest one that may run; that answer is asked for anew with every batch, because a
deploy may have happened in between. A flow that is gone or does not parse any more is None: the engine says so.
"""

from collections import OrderedDict
from typing import Protocol

from levada.model.flow import Flow

Key = tuple[str, str, str, int | None]
MAX_KEPT = 2000


class FlowLookup(Protocol):
    """What `levada.flowfile.cache.FlowCache` offers, reduced to what is needed here."""

    async def find(self, tenant: str, namespace: str, id: str, revision: int | None) -> Flow | None: ...


class Flows:
    def __init__(self, lookup: FlowLookup) -> None:
        self._lookup = lookup
        self._revisions: OrderedDict[Key, Flow | None] = OrderedDict()
        self._latest: dict[Key, Flow | None] = {}

    async def prepare(self, wanted: set[Key]) -> None:
        """Have these at hand for `find`."""
        self._latest.clear()
        for key in wanted:
            if key[3] is None:
                self._latest[key] = await self._lookup.find(*key)
            elif key not in self._revisions:
                self._revisions[key] = await self._lookup.find(*key)
                while len(self._revisions) > MAX_KEPT:
                    self._revisions.popitem(last=False)

    def find(self, tenant: str, namespace: str, id: str, revision: int | None) -> Flow | None:
        key = (tenant, namespace, id, revision)
        return self._latest.get(key) if revision is None else self._revisions.get(key)
