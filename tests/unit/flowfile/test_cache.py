from collections import Counter
from typing import Any

import msgspec
import pytest

from levada.flowfile import BrokenFlow, FlowCache
from levada.store.port import FlowRow

SOURCE = "id: f\nnamespace: n\ntasks:\n  - {id: t, type: core.log.Log, message: %s}\n"


class Store:
    """The two reads that the cache makes, counted."""

    def __init__(self, *rows: FlowRow) -> None:
        self.rows = list(rows)
        self.reads: Counter[Any] = Counter()

    async def get(
        self, tenant: str, namespace: str, id: str, revision: int | None = None, *, allow_deleted: bool = False
    ) -> FlowRow | None:
        self.reads[revision] += 1
        found = [
            row
            for row in self.rows
            if (row.tenant, row.namespace, row.id) == (tenant, namespace, id) and revision in (None, row.revision)
        ]
        return found[-1] if found and (allow_deleted or not found[-1].deleted) else None

    async def revisions(self, tenant: str, namespace: str, id: str) -> list[FlowRow]:
        return self.rows


def row(revision: int, source: str = SOURCE % "x", **more: Any) -> FlowRow:
    return FlowRow(namespace="n", id="f", revision=revision, source=source, updated=0, **more)


def cache(registry: Any, *rows: FlowRow, **options: Any) -> tuple[FlowCache, Store]:
    store = Store(*rows)
    return FlowCache(store, registry, **options), store  # type: ignore[arg-type]


async def test_a_revision_is_read_and_parsed_once(registry) -> None:
    flows, store = cache(registry, row(1), row(2, SOURCE % "new"))
    first = await flows.get("main", "n", "f", 1)
    assert await flows.get("main", "n", "f", 1) is first
    assert first is not None
    assert (first.revision, store.reads[1]) == (1, 1)
    assert await flows.get("main", "n", "nothing", 1) is None


async def test_the_latest_revision_is_known_for_a_moment_and_forgotten_when_told(registry) -> None:
    flows, store = cache(registry, row(1), latest_s=3600)
    assert (await flows.get("main", "n", "f")).revision == 1  # type: ignore[union-attr]
    store.rows.append(row(2))
    assert (await flows.get("main", "n", "f")).revision == 1  # type: ignore[union-attr]
    flows.forget("main", "n", "f")
    assert (await flows.get("main", "n", "f")).revision == 2  # type: ignore[union-attr]
    assert store.reads[None] == 2


async def test_without_a_moment_the_store_is_asked_each_time(registry) -> None:
    flows, store = cache(registry, row(1), latest_s=0)
    await flows.get("main", "n", "f")
    store.rows.append(row(2))
    assert (await flows.get("main", "n", "f")).revision == 2  # type: ignore[union-attr]


async def test_a_flow_that_no_longer_parses_is_broken_and_says_why(registry) -> None:
    flows, store = cache(registry, row(1, "id: f\nnamespace: n\ntasks: [{id: t, type: gone.Task}]\n"))
    with pytest.raises(BrokenFlow, match=r"revision 1 of flow n.f cannot be read any more:\n3:17 tasks\[0\].type"):
        await flows.get("main", "n", "f", 1)
    assert await flows.find("main", "n", "f", 1) is None
    assert isinstance(await flows.entry("main", "n", "f", 1), BrokenFlow)
    assert store.reads[1] == 1


async def test_a_draft_does_not_run_unless_asked_for_by_number(registry) -> None:
    flows, _ = cache(registry, row(1), row(2, draft=True))
    assert (await flows.get("main", "n", "f")).revision == 1  # type: ignore[union-attr]
    draft = await flows.get("main", "n", "f", 2)
    assert draft is not None
    assert (draft.revision, draft.draft) == (2, True)
    only, _ = cache(registry, row(1, draft=True))
    assert (await only.get("main", "n", "f")).draft  # type: ignore[union-attr]


async def test_a_deleted_flow_is_none(registry) -> None:
    flows, _ = cache(registry, row(1), row(2, deleted=True))
    assert await flows.get("main", "n", "f") is None


async def test_only_so_many_flows_are_kept(registry) -> None:
    flows, store = cache(registry, *(row(number) for number in range(1, 5)), size=2)
    for number in (1, 2, 1, 3, 1, 2):
        await flows.get("main", "n", "f", number)
    assert store.reads == {1: 1, 2: 2, 3: 1}


async def test_reading_a_row_asks_no_store(registry) -> None:
    flows, store = cache(registry)
    flow = flows.read(row(9))
    assert not isinstance(flow, BrokenFlow)
    assert flow.revision == 9
    assert msgspec.structs.asdict(flow)["namespace"] == "n"
    assert not store.reads
