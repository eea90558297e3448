"""Parsed flows by revision, so that a start costs no parsing.

A revision never changes, so what was parsed stays until it is pushed out by newer ones. Which revision is the latest does
change: that answer is kept for LATEST_S only, and `forget` drops it at once in the process that saved a change. A stored
flow that no longer parses (a plugin is gone, a property was removed) is remembered as broken: it can be listed and shown,
but asking for it here raises BrokenFlow, and `find` gives None.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from levada.flowfile import defaults
from levada.flowfile.parser import parse
from levada.flowfile.problems import InvalidFlow, Problem
from levada.model.errors import UserError
from levada.model.flow import Flow
from levada.sdk import Registry
from levada.store.port import FlowRow, FlowStore

MAX_KEPT: Final = 2000
LATEST_S: Final = 0.2

_Key = tuple[str, str, str]


class BrokenFlow(UserError):
    """A stored flow that cannot be read any more; it does not run until it is saved in a valid form."""

    def __init__(self, row: FlowRow, problems: Sequence[Problem]) -> None:
        self.row = row
        self.problems = list(problems)
        found = "\n".join(problem.text() for problem in problems)
        super().__init__(f"revision {row.revision} of flow {row.namespace}.{row.id} cannot be read any more:\n{found}")


class FlowCache:
    """Flows of a store as the engine needs them. One per process; for use on one event loop."""

    def __init__(
        self,
        store: FlowStore,
        registry: Registry,
        *,
        size: int = MAX_KEPT,
        latest_s: float = LATEST_S,
        server_defaults: Sequence[defaults.Default] = (),
    ) -> None:
        self._store = store
        self._registry = registry
        self._size = size
        self._latest_s = latest_s
        self._server_defaults = server_defaults
        self._parsed: OrderedDict[tuple[str, str, str, int], Flow | BrokenFlow] = OrderedDict()
        self._latest: OrderedDict[_Key, tuple[float, FlowRow]] = OrderedDict()

    async def get(self, tenant: str, namespace: str, id: str, revision: int | None = None) -> Flow | None:
        """Return a flow; without revision the latest one that is not a draft, or the draft if there is nothing else.

        None if it does not exist; raises BrokenFlow if it cannot be read any more.
        """
        found = await self.entry(tenant, namespace, id, revision)
        if isinstance(found, BrokenFlow):
            raise found
        return found

    async def find(self, tenant: str, namespace: str, id: str, revision: int | None = None) -> Flow | None:
        """As `get`, but None for a broken flow too: for callers to whom it is the same as gone."""
        found = await self.entry(tenant, namespace, id, revision)
        return None if isinstance(found, BrokenFlow) else found

    async def entry(
        self, tenant: str, namespace: str, id: str, revision: int | None = None
    ) -> Flow | BrokenFlow | None:
        """Return the flow, or why it is broken, or None if there is none."""
        if revision is not None:
            kept = self._kept((tenant, namespace, id, revision))
            if kept is not None:
                return kept
            row = await self._store.get(tenant, namespace, id, revision)
        else:
            row = await self._latest_row((tenant, namespace, id))
        return None if row is None or row.deleted else self.read(row)

    def read(self, row: FlowRow) -> Flow | BrokenFlow:
        """Return the flow of a stored row, parsed at most once."""
        key = (row.tenant, row.namespace, row.id, row.revision)
        kept = self._kept(key)
        if kept is None:
            kept = self._parsed[key] = self._parse(row)
            while len(self._parsed) > self._size:
                self._parsed.popitem(last=False)
        return kept

    def forget(self, tenant: str, namespace: str, id: str) -> None:
        """Ask the store again what the latest revision is: a change was saved."""
        self._latest.pop((tenant, namespace, id), None)

    def _kept(self, key: tuple[str, str, str, int]) -> Flow | BrokenFlow | None:
        kept = self._parsed.get(key)
        if kept is not None:
            self._parsed.move_to_end(key)
        return kept

    async def _latest_row(self, key: _Key) -> FlowRow | None:
        now = asyncio.get_running_loop().time()
        known = self._latest.get(key)
        if known is not None and now - known[0] < self._latest_s:
            return known[1]
        row = await self._store.get(*key)
        if row is not None and row.draft:
            row = await self._published(key) or row
        if row is None:
            return None  # not remembered: it may be created the next moment
        self._latest[key] = (now, row)
        self._latest.move_to_end(key)
        while len(self._latest) > self._size:
            self._latest.popitem(last=False)
        return row

    async def _published(self, key: _Key) -> FlowRow | None:
        """Return the last revision before the draft that may run; None if the flow was never published."""
        for row in sorted(await self._store.revisions(*key), key=lambda row: row.revision, reverse=True):
            if row.deleted:
                return None
            if not row.draft:
                return row
        return None

    def _parse(self, row: FlowRow) -> Flow | BrokenFlow:
        try:
            parsed = parse(
                row.source,
                self._registry,
                tenant=row.tenant,
                revision=row.revision,
                lenient=True,
                server_defaults=self._server_defaults,
            )
        except InvalidFlow as problem:
            return BrokenFlow(row, problem.problems)
        # Saved as a draft through the API, without `draft: true` in the source.
        if row.draft and not parsed.flow.draft:
            return msgspec.structs.replace(parsed.flow, draft=True)
        return parsed.flow
