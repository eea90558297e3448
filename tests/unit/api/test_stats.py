"""Counts of executions as dashboards ask for them."""

from __future__ import annotations

import pytest

from levada.store.records import HOUR_US, MINUTE_US
from levada_api.errors import ApiError
from levada_api.stats import Asked, range_of

from .conftest import HELLO, Server


async def counted(server: Server) -> None:
    """What the indexer does."""
    await server.platform.counts.catch_up(server.platform.clock.now_us())
    await server.platform.counts.recompute(1000)


async def test_executions_are_counted_by_day_and_state(server: Server) -> None:
    await server.deploy(HELLO)
    for _ in range(3):
        await server.ran()
    assert sum((await server.post("/stats/executions/daily", json={})).json()[-1]["executionCounts"].values()) == 0
    await counted(server)
    line = (await server.post("/stats/executions/daily", json={})).json()
    assert len(line) == 31
    assert {piece["groupBy"] for piece in line} == {"DAY"}
    today = line[-1]
    assert (today["executionCounts"]["SUCCESS"], today["executionCounts"]["FAILED"]) == (3, 0)
    assert today["duration"]["count"] == 3
    assert 0 <= today["duration"]["min"] <= today["duration"]["avg"] <= today["duration"]["max"] < 5
    failed = await server.post("/stats/executions/daily", json={"state": ["FAILED"], "namespace": "company"})
    assert sum(sum(piece["executionCounts"].values()) for piece in failed.json()) == 0


async def test_counts_by_flow_and_by_namespace(server: Server) -> None:
    await server.deploy(HELLO)
    await server.ran()
    await counted(server)
    by_flow = (await server.post("/stats/executions/daily/group-by-flow", json={})).json()
    assert by_flow["company.team"]["hello"][-1]["executionCounts"]["SUCCESS"] == 1
    asked = {"flows": [{"namespace": "company.team", "id": "other"}]}
    assert (await server.post("/stats/executions/daily/group-by-flow", json=asked)).json() == {}
    whole = (await server.post("/stats/executions/daily/group-by-flow", json={"namespaceOnly": True})).json()
    assert list(whole["company.team"]) == ["*"]
    by_namespace = (await server.post("/stats/executions/daily/group-by-namespace", json={})).json()
    assert by_namespace["company.team"][-1]["executionCounts"]["SUCCESS"] == 1


async def test_the_newest_execution_of_each_flow_and_how_long_they_take(server: Server) -> None:
    await server.deploy(HELLO)
    await server.ran()
    last = await server.ran()
    await counted(server)
    flows = [{"namespace": "company.team", "id": "hello"}, {"namespace": "company.team", "id": "none"}]
    found = (await server.post("/stats/executions/latest/group-by-flow", json={"flows": flows})).json()
    assert [one["id"] for one in found] == [last["id"]]
    took = (await server.get("/executions/namespaces/company.team/flows/hello/average-duration")).json()
    assert took["count"] == 2
    assert took["averageDuration"] >= 0


@pytest.mark.parametrize(
    "body",
    [
        {"q": "text"},
        {"labels": {"a": "b"}},
        {"startDate": "yesterday"},
        {"startDate": "2026-02-01T00:00:00Z", "endDate": "2026-01-01T00:00:00Z"},
        {"startDate": "1990-01-01T00:00:00Z"},
        {"timeZone": "Europe/Atlantis"},
        {"state": ["GOOD"]},
        {"flows": "all"},
    ],
)
async def test_a_question_that_counts_can_not_answer_is_refused(server: Server, body: dict[str, object]) -> None:
    assert (await server.post("/stats/executions/daily", json=body)).status == 422


async def test_metrics_show_what_is_live_now(server: Server) -> None:
    await server.deploy(HELLO)
    await server.ran()
    reply = await server.get("=/metrics")
    assert 'levada_executions{state="RUNNING"} 0' in reply.text


@pytest.mark.parametrize(
    ("start", "end", "pieces", "n"),
    [
        ("2026-01-01T00:00:30Z", "2026-01-01T01:00:00Z", "MINUTE", 61),
        ("2026-01-01T00:10:00Z", "2026-01-01T09:00:00Z", "HOUR", 10),
        ("2026-01-01T00:00:00Z", "2026-01-31T12:00:00Z", "DAY", 31),
        ("2026-01-01T00:00:00Z", "2026-08-01T00:00:00Z", "WEEK", 31),
        ("2024-01-15T00:00:00Z", "2026-01-15T00:00:00Z", "MONTH", 25),
    ],
)
def test_the_longer_the_range_the_coarser_its_pieces(start: str, end: str, pieces: str, n: int) -> None:
    cut = range_of(Asked(start_date=start, end_date=end), 0)
    assert (cut.pieces, len(cut.starts), len(cut.bounds)) == (pieces, n, n + 1)
    assert cut.bounds == sorted(set(cut.bounds))
    assert all(bound % MINUTE_US == 0 for bound in cut.bounds)


def test_days_begin_at_midnight_of_the_zone_also_when_clocks_change() -> None:
    asked = Asked(
        start_date="2026-03-27T00:00:00+01:00", end_date="2026-04-01T00:00:00+02:00", time_zone="Europe/Paris"
    )
    cut = range_of(asked, 0)
    lengths = [(after - before) / HOUR_US for before, after in zip(cut.starts, cut.starts[1:], strict=False)]
    assert lengths == [24, 24, 23, 24, 24]


def test_a_range_without_pieces_is_none() -> None:
    with pytest.raises(ApiError, match="zone"):
        range_of(Asked(time_zone="../etc"), 0)
