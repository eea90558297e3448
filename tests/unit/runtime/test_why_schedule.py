"""Why a flow does not start by itself: every cause has its words."""

from typing import Any

from levada.model.flow import Flow, Trigger
from levada.runtime.why_schedule import Facts, TriggerCauses, late, of_flow, of_triggers
from levada.store.members import Member
from levada.store.triggers import TriggerState

NOW = 1_700_000_000_000_000
MINUTE = 60_000_000
SCHEDULE = "core.trigger.Schedule"


def flow(*triggers: Trigger, **fields: Any) -> Flow:
    return Flow(namespace="n", id="f", tasks=(), triggers=triggers or (trigger("t"),), revision=3, **fields)


def trigger(id: str, type: str = SCHEDULE, **fields: Any) -> Trigger:
    return Trigger(id=id, type=type, **fields)


def state(**fields: Any) -> TriggerState:
    values = {
        "tenant": "main",
        "namespace": "n",
        "flow_id": "f",
        "trigger_id": "t",
        "type": SCHEDULE,
        "revision": 3,
        "active": True,
        "disabled": False,
        "next_slot": NOW + MINUTE,
        "probe": False,
        "last_slot": NOW - MINUTE,
        "last_fired": NOW - MINUTE,
        "last_execution": None,
        "skipped": 0,
        "note": None,
        "error": None,
        "updated": NOW - MINUTE,
    }
    return TriggerState(**{**values, **fields})


def scheduler(*, live: bool = True) -> Member:
    return Member(service="scheduler", name="s1", started=NOW, lease_until=NOW - MINUTE, live=live)


def facts(found: Flow | None, *states: TriggerState, **more: Any) -> Facts:
    return Facts(**{"now": NOW, "flow": found, "states": states, "schedulers": [scheduler()], **more})


def only(found: Facts) -> TriggerCauses:
    (one,) = of_triggers(found)
    return one


def said(found: Facts) -> tuple[str, str]:
    (cause,) = only(found).causes
    return cause.code, cause.message


def test_nothing_is_wrong_and_the_next_date_is_named() -> None:
    found = facts(flow(), state())
    assert of_flow(found) == []
    assert said(found) == ("NEXT_DATE", "nothing is wrong: it fires at 2023-11-14 22:14:20 UTC")
    assert only(found).next_date == NOW + MINUTE


def test_without_a_scheduler_that_is_alive_no_schedule_fires() -> None:
    (cause,) = of_flow(facts(flow(), state(), schedulers=[scheduler(live=False)]))
    assert cause.code == "NO_SCHEDULER"
    assert "s1 was there until 2023-11-14 22:12:20 UTC" in cause.message
    assert cause.remedy == "start one: levada serve scheduler"
    assert of_flow(facts(flow(), schedulers=[]))[0].code == "NO_SCHEDULER"
    assert of_flow(facts(flow(trigger("w", "core.trigger.Webhook")), schedulers=[])) == []


def test_a_flow_that_is_off_or_broken_says_so_first() -> None:
    assert of_flow(facts(flow(), disabled=True))[0].code == "FLOW_DISABLED"
    assert said(facts(flow(), disabled=True))[0] == "FLOW_OFF"
    assert of_flow(facts(flow(draft=True)))[0].code == "FLOW_DRAFT"
    (broken,) = of_flow(facts(None, error="line 3: no such task"))
    assert (broken.code, broken.message) == ("FLOW_BROKEN", "the flow can not be read: line 3: no such task")
    assert of_triggers(facts(None, error="x")) == []


def test_a_flow_without_triggers_is_started_by_people() -> None:
    bare = Flow(namespace="n", id="f", tasks=(), revision=1)
    assert [cause.code for cause in of_flow(facts(bare, schedulers=[]))] == ["NO_TRIGGER"]


def test_a_trigger_that_is_off_says_who_switched_it() -> None:
    assert said(facts(flow(trigger("t", disabled=True))))[0] == "TRIGGER_DISABLED"
    stopped = state(disabled=True, next_slot=None, note="stopped: execution X ended FAILED")
    code, message = said(facts(flow(), stopped))
    assert code == "SWITCHED_OFF"
    assert "execution X ended FAILED" in message


def test_an_expression_that_is_wrong_is_quoted() -> None:
    code, message = said(facts(flow(), state(error="trigger t: `* *` has 2 fields")))
    assert code == "SCHEDULE_BROKEN"
    assert "`* *` has 2 fields; it is looked at again at" in message


def test_the_execution_before_it_is_named() -> None:
    due = said(facts(flow(), state(waits_for="E", next_slot=NOW - MINUTE)))
    assert due == (
        "WAITS_FOR_EXECUTION",
        "the date 2023-11-14 22:12:20 UTC waits until execution E, which the one before started, has ended",
    )
    assert said(facts(flow(), state(waits_for="E")))[0] == "NEXT_DATE"


def test_an_overdue_date_tells_a_backlog_from_a_scheduler_that_is_gone() -> None:
    overdue = state(next_slot=NOW - MINUTE)
    assert late(overdue, NOW)
    assert not late(state(next_slot=NOW - 1000), NOW)
    assert not late(state(next_slot=NOW - MINUTE, waits_for="E"), NOW)
    code, message = said(facts(flow(), overdue, overdue=41))
    assert code == "BACKLOG"
    assert "as are 40 other schedules: 1 scheduler at work" in message
    assert said(facts(flow(), overdue, overdue=1))[0] == "OVERDUE"
    assert "waits for a scheduler" in said(facts(flow(), overdue, schedulers=[]))[1]


def test_a_schedule_without_further_dates_and_one_whose_date_is_looked_for() -> None:
    assert said(facts(flow(), state(next_slot=None, note="there is no further date")))[0] == "NO_FURTHER_DATE"
    assert said(facts(flow(), state(probe=True)))[0] == "LOOKING"
    assert only(facts(flow(), state(probe=True))).next_date is None


def test_a_revision_that_no_scheduler_has_read_yet() -> None:
    assert said(facts(flow()))[0] == "NOT_SEEN"
    assert said(facts(flow(), state(revision=2)))[0] == "NOT_SEEN"


def test_other_triggers_say_what_fires_them() -> None:
    assert said(facts(flow(trigger("t", "core.trigger.Webhook"))))[0] == "WEBHOOK"
    code, message = said(facts(flow(trigger("t", "core.trigger.Flow"))))
    assert code == "NOT_FIRED"
    assert "core.trigger.Flow" in message


def test_one_trigger_may_be_asked_for() -> None:
    found = facts(flow(trigger("a"), trigger("b")))
    assert [one.trigger_id for one in of_triggers(found, "b")] == ["b"]
    assert of_triggers(found, "c") == []
