"""Which dates are fired, with what, and what is left out."""

from __future__ import annotations

import pytest
from scheduling import Desk, us

from levada.model.errors import Transient
from levada.runtime.clock import id_time_us
from levada_scheduler.planning import execution_id_of


def every(cron: str = "0 * * * *", more: str = "") -> str:
    return f"- {{id: s, type: core.trigger.Schedule, cron: '{cron}', allowConcurrent: true{more and ', ' + more}}}"


async def test_the_first_date_is_the_first_from_now_on(desk: Desk) -> None:
    await desk.save(every())
    assert await desk.next() == "2026-01-05T09:00:00Z"
    assert await desk.at("2026-01-05T08:59:59.999Z") == []
    assert await desk.at("2026-01-05T09:00:00Z") == ["2026-01-05T09:00:00Z"]
    assert await desk.at("2026-01-05T09:00:05Z") == []
    assert await desk.next() == "2026-01-05T10:00:00Z"


async def test_a_date_that_is_now_is_the_first_one() -> None:
    desk = Desk("2026-01-05T08:00:00Z")
    await desk.save(every())
    assert [start.scheduled for start in desk.sent] == [us("2026-01-05T08:00:00Z")]


async def test_what_a_start_carries(desk: Desk) -> None:
    await desk.save(
        every(
            "0 9 * * *",
            "timezone: Europe/Berlin, inputs: {day: \"{{ trigger.date | date('yyyy-MM-dd') }}\", n: 4}, "
            "labels: {origin: '{{ flow.id }}-{{ envs.team }}'}",
        ),
        more="inputs: [{id: day, type: STRING}, {id: n, type: INT}, {id: d, type: STRING, defaults: x}]",
    )
    await desk.at("2026-01-06T08:00:00Z")
    (start,) = desk.sent[-1:]
    assert start.inputs == {"day": "2026-01-06", "n": 4, "d": "x"}
    assert start.resolved
    assert start.labels == [("origin", "f-data")]
    assert start.scheduled == us("2026-01-06T08:00:00Z")
    assert (start.namespace, start.flow_id, start.flow_revision, start.failure) == ("company.team", "f", 1, None)
    assert start.trigger is not None
    assert (start.trigger.id, start.trigger.type) == ("s", "core.trigger.Schedule")
    assert start.trigger.variables == {
        "date": "2026-01-06T09:00:00+01:00",
        "next": "2026-01-07T09:00:00+01:00",
        "previous": "2026-01-05T09:00:00+01:00",
    }


async def test_the_id_of_an_execution_follows_from_its_date(desk: Desk) -> None:
    await desk.save(every())
    await desk.at("2026-01-05T09:00:01Z")
    date = us("2026-01-05T09:00:00Z")
    assert desk.sent[0].execution_id == execution_id_of("main/company.team/f/s", date)
    assert id_time_us(desk.sent[0].execution_id) == date


async def test_a_date_while_the_clock_is_late_is_fired_whatever_the_policy(desk: Desk) -> None:
    await desk.save(every(more="recoverMissedSchedules: NONE"))
    assert await desk.at("2026-01-05T09:00:09Z") == ["2026-01-05T09:00:00Z"]


MISSED = ["2026-01-05T09:00:00Z", "2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z"]


@pytest.mark.parametrize(("policy", "expected"), [(None, MISSED), ("ALL", MISSED), ("LAST", MISSED[-1:]), ("NONE", [])])
async def test_missed_dates(desk: Desk, policy: str | None, expected: list[str]) -> None:
    await desk.save(every(more=f"recoverMissedSchedules: {policy}" if policy else ""))
    assert await desk.at("2026-01-05T11:30:00Z") == expected
    assert await desk.next() == "2026-01-05T12:00:00Z"
    found = await desk.state()
    assert found.skipped == 3 - len(expected)
    assert "recoverMissedSchedules" in found.note


async def test_the_installation_has_a_policy_too() -> None:
    desk = Desk("2026-01-05T08:00:30Z", recover="LAST")
    await desk.save(every())
    assert await desk.at("2026-01-05T11:30:00Z") == MISSED[-1:]


async def test_what_is_missed_is_capped_and_said() -> None:
    desk = Desk("2026-01-05T08:00:30Z", catch_up=2)
    await desk.save(every())
    assert await desk.at("2026-01-05T11:30:00Z") == MISSED[1:]
    assert "scheduler.catch_up" in (await desk.state()).note


async def test_years_of_every_second_are_no_problem() -> None:
    desk = Desk("2026-01-05T08:00:30Z", catch_up=50)
    await desk.save(every("* * * * * *", "withSeconds: true"))
    assert len(await desk.at("2029-01-05T08:00:30Z")) == 50


async def test_what_is_too_late_is_left_out(desk: Desk) -> None:
    await desk.save(every(more="lateMaximumDelay: PT1H"))
    assert await desk.at("2026-01-05T11:30:00Z") == MISSED[-1:]
    assert "lateMaximumDelay" in (await desk.state()).note


async def test_dates_without_their_condition_are_no_dates(desk: Desk) -> None:
    monday = "conditions: [{type: core.condition.DayWeek, dayOfWeek: MONDAY}]"
    await desk.save(every("0 9 * * *", monday))
    assert await desk.at("2026-01-05T09:00:00Z") == ["2026-01-05T09:00:00Z"]
    assert await desk.next() == "2026-01-12T09:00:00Z"
    assert desk.sent[-1].trigger is not None
    assert desk.sent[-1].trigger.variables["next"] == "2026-01-12T09:00:00Z"
    assert desk.sent[-1].trigger.variables["previous"] == "2025-12-29T09:00:00Z"


async def test_when_is_a_condition_too(desk: Desk) -> None:
    await desk.save(every("0 * * * *", "when: \"{{ trigger.date | date('HH') == '13' }}\""))
    assert await desk.next() == "2026-01-05T13:00:00Z"


async def test_a_search_without_end_is_taken_up_again(desk: Desk) -> None:
    await desk.save(every("* * * * *", "when: \"{{ trigger.date | date('yyyy') == '2027' }}\""))
    found = await desk.state()
    assert found.probe
    assert await desk.at("2026-01-06T00:00:00Z") == []
    assert (await desk.state()).probe


async def test_a_condition_that_can_not_be_evaluated_fails_visibly(desk: Desk) -> None:
    await desk.save(every(more="when: '{{ nothing.at.all }}'"))
    await desk.at("2026-01-05T09:00:00Z")
    assert desk.sent[0].failure is not None
    assert "nothing" in desk.sent[0].failure


async def test_wrong_inputs_fail_visibly(desk: Desk) -> None:
    await desk.save(every(more="inputs: {n: '{{ flow.id }}'}"), more="inputs: [{id: n, type: INT}]")
    await desk.at("2026-01-05T09:00:00Z")
    assert desk.sent[0].failure is not None
    assert "n" in desk.sent[0].failure
    assert await desk.next() == "2026-01-05T10:00:00Z"


async def test_inputs_may_ask_for_keys_and_secrets(desk: Desk) -> None:
    await desk.key("since", 5)
    await desk.save(
        every(more="inputs: {n: \"{{ kv('since') }}\", s: \"{{ secret('TOKEN') }}\"}"),
        more="inputs: [{id: n, type: INT}, {id: s, type: STRING}]",
    )
    due = await desk.store.due(us("2026-01-05T09:00:00Z"), 10)
    desk.clock.now = us("2026-01-05T09:00:00Z")
    await desk.scheduler.fire(due, desk.clock.now)
    assert desk.sent[0].inputs == {"n": 5, "s": "hush"}


async def test_a_dynamic_expression_that_is_none_is_looked_at_again(desk: Desk) -> None:
    await desk.save(every("{{ vars.cron }}"), more="variables: {cron: nonsense}")
    found = await desk.state()
    assert "nonsense" not in (found.note or "")
    assert "fields" in found.error
    assert found.probe
    await desk.save(every("{{ vars.cron }}"), more="variables: {cron: '30 * * * *'}")
    assert await desk.next() == "2026-01-05T08:30:00Z"
    assert (await desk.state()).error is None


async def test_listed_dates(desk: Desk) -> None:
    await desk.save(
        "- {id: s, type: core.trigger.ScheduleOnDates, allowConcurrent: true, timezone: Europe/Berlin, "
        "dates: ['2026-01-05T11:00:00', '2026-01-05T09:30:00Z', '2020-01-01T00:00:00Z', '2026-02-01T00:00:00+01:00']}"
    )
    assert await desk.next() == "2026-01-05T09:30:00Z"
    assert await desk.at("2026-01-05T10:00:05Z") == ["2026-01-05T09:30:00Z", "2026-01-05T10:00:00Z"]
    assert desk.sent[-1].trigger is not None
    assert desk.sent[-1].trigger.variables["next"] == "2026-02-01T00:00:00+01:00"
    assert await desk.at("2026-02-01T00:00:00Z") == ["2026-01-31T23:00:00Z"]
    found = await desk.state()
    assert (found.next_slot, found.error) == (None, None)
    assert "no further date" in found.note


async def test_one_after_the_other_unless_allowed(desk: Desk) -> None:
    await desk.save("- {id: s, type: core.trigger.Schedule, cron: '0 * * * *'}")
    assert await desk.at("2026-01-05T11:30:00Z") == MISSED[:1]
    assert await desk.next() == MISSED[1]


async def test_what_could_not_be_sent_is_sent_again(desk: Desk) -> None:
    await desk.save(every())
    desk.failing = Transient("the bus is away")
    with pytest.raises(Transient):
        await desk.at("2026-01-05T09:00:00Z")
    desk.failing = None
    desk.clock.now += 3_000_000
    await desk.scheduler._sending_again()
    assert [start.scheduled for start in desk.sent] == [us("2026-01-05T09:00:00Z")]
    desk.clock.now += 3_000_000
    await desk.scheduler._sending_again()
    assert len(desk.sent) == 1
