"""Schedules follow the revisions of flows."""

from __future__ import annotations

from pathlib import Path

from scheduling import Desk

from levada_scheduler.main import local_zone

TWO = """
- {id: a, type: core.trigger.Schedule, cron: '0 * * * *'}
- {id: b, type: core.trigger.Schedule, cron: '30 * * * *', disabled: true}
- {id: w, type: core.trigger.Webhook, key: abcdefghijkl}
"""


async def names(desk: Desk) -> list[str]:
    return [each.trigger_id for each in await desk.store.states("main")]


async def test_schedules_come_and_go_with_revisions(desk: Desk) -> None:
    await desk.save(TWO)
    assert await names(desk) == ["a", "b"]
    assert await desk.next("a") == "2026-01-05T09:00:00Z"
    assert await desk.next("b") is None
    await desk.save("- {id: b, type: core.trigger.Schedule, cron: '30 * * * *'}")
    assert await names(desk) == ["b"]
    assert await desk.next("b") == "2026-01-05T08:30:00Z"
    await desk.flows.delete("main", "company.team", "f", 1)
    await desk.declarer.look()
    assert await names(desk) == []


async def test_a_flow_that_was_off_begins_with_the_next_date(desk: Desk) -> None:
    schedule = "- {id: s, type: core.trigger.Schedule, cron: '0 * * * *'}"
    await desk.save(schedule)
    await desk.save(schedule, disabled=True)
    assert await desk.next() is None
    assert await desk.at("2026-01-05T12:10:00Z") == []
    await desk.save(schedule, disabled=False)
    assert await desk.next() == "2026-01-05T13:00:00Z"


async def test_saving_loses_no_date_that_is_due(desk: Desk) -> None:
    schedule = "- {id: s, type: core.trigger.Schedule, cron: '0 * * * *'}"
    await desk.save(schedule)
    desk.clock.now += 3_600_000_000
    await desk.save(schedule, more="description: other")
    assert len(desk.sent) == 1
    assert desk.sent[0].flow_revision == 2


async def test_a_flow_that_is_broken_says_so_and_hurts_nobody_else(desk: Desk) -> None:
    schedule = "- {id: s, type: core.trigger.Schedule, cron: '0 * * * *'}"
    await desk.save(schedule)
    await desk.save(schedule, more="tasks: []\nnonsense: true")
    await desk.save("- {id: other, type: core.trigger.Schedule, cron: '0 * * * *'}", id="g")
    assert (await desk.state("s")).error is not None
    assert await desk.next("s") is None
    assert await desk.next("other") == "2026-01-05T09:00:00Z"


async def test_flows_without_schedules_are_not_parsed(desk: Desk) -> None:
    await desk.save("- {id: w, type: core.trigger.Webhook, key: abcdefghijkl}")
    assert await names(desk) == []
    assert (await desk.store.outdated(1, None, 10))[0] == []


def test_the_zone_of_the_machine(tmp_path: Path) -> None:
    zone = tmp_path / "zoneinfo" / "Europe" / "Berlin"
    zone.parent.mkdir(parents=True)
    zone.touch()
    link = tmp_path / "localtime"
    link.symlink_to(zone)
    assert str(local_zone({}, link)) == "Europe/Berlin"
    assert str(local_zone({"TZ": "Asia/Tokyo"}, link)) == "Asia/Tokyo"
    assert str(local_zone({"TZ": "nonsense"}, link)) == "Europe/Berlin"
    assert str(local_zone({}, tmp_path / "nothing")) == "UTC"
