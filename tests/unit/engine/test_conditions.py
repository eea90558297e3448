"""The 1.x conditions, and listeners that use them."""

import pytest
from driver import Driver, flow, task

from levada.engine import conditions
from levada.engine.context import PureHost
from levada.model.errors import UserError
from levada.model.flow import Listener
from levada.model.states import State

SUBJECT = conditions.Subject(
    namespace="a.b", flow_id="f", state=State.FAILED, labels={"k": "v"}, outputs={"o": 1}, retried=[State.KILLED]
)
SCOPE = conditions.Scope({"flow": {"id": "f"}, "trigger": {"date": "2021-04-26T10:00:00Z"}}, PureHost(0, "x"))


@pytest.mark.parametrize(
    ("type_", "properties", "expected"),
    [
        ("ExecutionFlow", {"namespace": "a.b", "flowId": "{{ flow.id }}"}, True),
        ("ExecutionFlow", {"namespace": "a", "flowId": "f"}, False),
        ("ExecutionNamespace", {"namespace": "a", "prefix": True}, True),
        ("ExecutionNamespace", {"namespace": ".b", "comparison": "SUFFIX"}, True),
        ("ExecutionNamespace", {"namespace": "a"}, False),
        ("ExecutionLabels", {"labels": {"k": "v"}}, True),
        ("ExecutionLabels", {"labels": [{"key": "k", "value": "w"}]}, False),
        ("ExecutionOutputs", {"expression": "{{ trigger.outputs.o == 1 }}"}, True),
        ("ExecutionStatus", {"in": ["FAILED"]}, True),
        ("ExecutionStatusCondition", {"notIn": ["FAILED"]}, False),
        ("HasRetryAttempt", {"in": ["KILLED"]}, True),
        ("HasRetryAttempt", {"in": ["FAILED"]}, False),
        ("Expression", {"expression": "{{ flow.id }}"}, True),
        ("Expression", {"expression": "{{ nope is defined }}"}, False),
        ("DateTimeBetween", {"after": "2021-04-26T11:00:00+02:00"}, True),
        ("DateTimeBetween", {"before": "2021-04-26T10:00:00Z"}, False),
        ("TimeBetween", {"after": "11:59:00+02:00", "before": "12:01:00+02:00"}, True),
        ("DayWeek", {"dayOfWeek": "MONDAY"}, True),
        ("DayWeekInMonth", {"dayOfWeek": "MONDAY", "dayInMonth": "LAST"}, True),
        ("DayWeekInMonth", {"dayOfWeek": "MONDAY", "dayInMonth": "FIRST"}, False),
        ("Weekend", {"date": "2013-09-08"}, True),
        ("Not", {"conditions": [{"type": "core.condition.Weekend"}]}, True),
        (
            "Or",
            {"conditions": [{"type": "core.condition.Weekend"}, {"type": "x.DayWeek", "dayOfWeek": "MONDAY"}]},
            True,
        ),
    ],
)
def test_conditions(type_: str, properties: dict[str, object], expected: bool) -> None:
    assert conditions.holds({"type": f"core.condition.{type_}", **properties}, SUBJECT, SCOPE) is expected


def test_unknown_conditions_and_wrong_dates_say_what_is_wrong() -> None:
    with pytest.raises(UserError, match="PublicHoliday can not be evaluated"):
        conditions.holds({"type": "core.condition.PublicHoliday"}, SUBJECT, SCOPE)
    with pytest.raises(UserError, match="`date` must be an ISO date"):
        conditions.holds({"type": "core.condition.Weekend", "date": "soon"}, SUBJECT, SCOPE)


def test_a_listener_runs_only_when_its_conditions_hold() -> None:
    def listener(id_: str, state: str) -> Listener:
        condition = {"type": "core.condition.ExecutionStatus", "in": [state]}
        return Listener(tasks=(task(id_, "core.log.Log", message="x"),), conditions=(condition,))

    d = Driver(
        flow(task("a", "core.log.Log", message="m"), listeners=(listener("f", "FAILED"), listener("s", "SUCCESS")))
    )
    x = d.start()
    assert d.order(x) == ["a", "s"]
    d.check_law()
