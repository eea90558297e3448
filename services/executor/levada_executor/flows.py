"""Flows for the executor: fetched before a batch is decided, answered from memory while it is.

A start without revision means the latest one that may run; which one that is is asked for anew with every batch, because
a deploy may have happened in between. A flow that is gone, or does not parse any more, is None: the engine says so.
"""

from levada.flowfile.cache import FlowCache
from levada.model.flow import Flow

Key = tuple[str, str, str, int | None]


class Flows:
    """`cache` must not remember what the latest revision is (`latest_s=0`): saves happen in another service."""

    def __init__(self, cache: FlowCache) -> None:
        self._cache = cache
        self._at_hand: dict[Key, Flow | None] = {}

    async def prepare(self, wanted: set[Key]) -> None:
        """Have these at hand for `find`, and only these."""
        self._at_hand = {key: await self._cache.find(*key) for key in wanted}

    def find(self, tenant: str, namespace: str, id: str, revision: int | None) -> Flow | None:
        return self._at_hand.get((tenant, namespace, id, revision))
