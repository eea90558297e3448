"""Kestra's 1.x conditions: may this happen start a flow, run a listener, fire a schedule?

One function per type in `CHECKS`. A condition looks at a `Subject` (the execution it is about) and at the variables of
its expressions; properties are rendered here. Pure: dates come from the variables or the condition itself.
"""

import calendar
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec

from levada import expr
from levada.model.errors import UserError
from levada.model.execution import Execution
from levada.model.states import State

Raw = Mapping[str, Any]
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
POSITIONS = ("FIRST", "SECOND", "THIRD", "FOURTH")
_TRIGGER_DATE = "{{ trigger.date }}"


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The execution that a condition is about. `retried` are the end states of attempts that others followed."""

    namespace: str
    flow_id: str
    state: State = State.CREATED
    labels: dict[str, str] = {}
    outputs: dict[str, Any] | None = None
    retried: list[State] = []


class Scope(msgspec.Struct, frozen=True):
    """What rendering needs: the variables, and a host for time and identifiers."""

    variables: dict[str, Any]
    host: expr.Host

    def render(self, value: Any) -> Any:
        return expr.render(value, self.variables, self.host)


def subject_of(x: Execution) -> Subject:
    """Return an execution as conditions see it."""
    retried = [attempt.state for run in x.task_runs.values() for attempt in run.attempts[:-1]]
    return Subject(
        namespace=x.namespace,
        flow_id=x.flow_id,
        state=x.state,
        labels=dict(x.labels),
        outputs=x.outputs,
        retried=retried,
    )


def all_hold(conditions: Iterable[Raw], subject: Subject, scope: Scope) -> bool:
    """True when every condition holds. Raises UserError for one that can not be evaluated or is unknown."""
    return all(holds(condition, subject, scope) for condition in conditions)


def holds(condition: Raw, subject: Subject, scope: Scope) -> bool:
    name = str(condition.get("type", "")).rpartition(".")[2].removesuffix("Condition")
    check = CHECKS.get(name)
    if check is None:
        raise UserError(f"the condition {condition.get('type')} can not be evaluated here; known: {', '.join(CHECKS)}")
    return check(condition, subject, scope)


# -- about the execution
def _flow(c: Raw, subject: Subject, scope: Scope) -> bool:
    return (scope.render(c.get("namespace")), scope.render(c.get("flowId"))) == (subject.namespace, subject.flow_id)


def _namespace(c: Raw, subject: Subject, scope: Scope) -> bool:
    wanted = str(scope.render(c.get("namespace")))
    comparison = str(scope.render(c.get("comparison") or "")).upper()
    if not comparison:
        comparison = "PREFIX" if expr.truthy(scope.render(c.get("prefix", False))) else "EQUALS"
    match comparison:
        case "PREFIX":
            return subject.namespace.startswith(wanted)
        case "SUFFIX":
            return subject.namespace.endswith(wanted)
        case _:
            return bool(subject.namespace == wanted)


def _labels(c: Raw, subject: Subject, scope: Scope) -> bool:
    given = c.get("labels") or {}
    pairs = given.items() if isinstance(given, Mapping) else [(e.get("key"), e.get("value")) for e in given]
    return all(subject.labels.get(str(key)) == str(scope.render(value)) for key, value in pairs)


def _outputs(c: Raw, subject: Subject, scope: Scope) -> bool:
    if not subject.outputs:
        return False
    trigger = {**(scope.variables.get("trigger") or {}), "outputs": subject.outputs}
    seen = Scope({**scope.variables, "trigger": trigger}, scope.host)
    return expr.truthy(expr.reveal(seen.render(c.get("expression", ""))))


def _status(c: Raw, subject: Subject, scope: Scope) -> bool:
    return _within(c, [subject.state], scope)


def _has_retry_attempt(c: Raw, subject: Subject, scope: Scope) -> bool:
    return any(_within(c, [state], scope) for state in subject.retried)


def _within(c: Raw, states: list[State], scope: Scope) -> bool:
    wanted, refused = scope.render(c.get("in")), scope.render(c.get("notIn"))
    return (not wanted or any(s.value in wanted for s in states)) and not (
        refused and any(s.value in refused for s in states)
    )


def _expression(c: Raw, subject: Subject, scope: Scope) -> bool:
    return expr.truthy(expr.reveal(scope.render(c.get("expression", ""))))


# -- about a date
def _moment(text: Any, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(str(text).strip())
    except ValueError as e:
        raise UserError(f"`{name}` must be an ISO date or date and time, but is `{text}`") from e
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _date(c: Raw, scope: Scope) -> date:
    return _moment(scope.render(c.get("date", _TRIGGER_DATE)), "date").date()


def _date_time_between(c: Raw, subject: Subject, scope: Scope) -> bool:
    given = _moment(scope.render(c.get("date", _TRIGGER_DATE)), "date")
    before, after = scope.render(c.get("before")), scope.render(c.get("after"))
    return (not before or given < _moment(before, "before")) and (not after or given > _moment(after, "after"))


def _time_between(c: Raw, subject: Subject, scope: Scope) -> bool:
    given = _moment(scope.render(c.get("date", _TRIGGER_DATE)), "date")
    before, after = scope.render(c.get("before")), scope.render(c.get("after"))
    return (not before or given < _at_time(given, before, "before")) and (
        not after or given > _at_time(given, after, "after")
    )


def _at_time(day: datetime, text: Any, name: str) -> datetime:
    try:
        wanted = time.fromisoformat(str(text).strip())
    except ValueError as e:
        raise UserError(f"`{name}` must be a time such as 16:30:00+02:00, but is `{text}`") from e
    zone = wanted.tzinfo or day.tzinfo
    return datetime.combine(day.astimezone(zone).date(), wanted.replace(tzinfo=zone))


def _day_week(c: Raw, subject: Subject, scope: Scope) -> bool:
    return DAYS[_date(c, scope).weekday()] == str(scope.render(c.get("dayOfWeek"))).upper()


def _day_week_in_month(c: Raw, subject: Subject, scope: Scope) -> bool:
    day = _date(c, scope)
    if DAYS[day.weekday()] != str(scope.render(c.get("dayOfWeek"))).upper():
        return False
    wanted = str(scope.render(c.get("dayInMonth"))).upper()
    if wanted == "LAST":
        return day.day + 7 > calendar.monthrange(day.year, day.month)[1]
    return wanted in POSITIONS and (day.day - 1) // 7 == POSITIONS.index(wanted)


def _weekend(c: Raw, subject: Subject, scope: Scope) -> bool:
    return _date(c, scope).weekday() >= 5


# -- about other conditions
def _not(c: Raw, subject: Subject, scope: Scope) -> bool:
    return not any(holds(inner, subject, scope) for inner in c.get("conditions") or ())


def _or(c: Raw, subject: Subject, scope: Scope) -> bool:
    return any(holds(inner, subject, scope) for inner in c.get("conditions") or ())


CHECKS: dict[str, Callable[[Raw, Subject, Scope], bool]] = {
    "ExecutionFlow": _flow,
    "Flow": _flow,
    "ExecutionNamespace": _namespace,
    "FlowNamespace": _namespace,
    "ExecutionLabels": _labels,
    "ExecutionOutputs": _outputs,
    "ExecutionStatus": _status,
    "HasRetryAttempt": _has_retry_attempt,
    "Expression": _expression,
    "Variable": _expression,
    "DateTimeBetween": _date_time_between,
    "TimeBetween": _time_between,
    "DayWeek": _day_week,
    "DayWeekInMonth": _day_week_in_month,
    "Weekend": _weekend,
    "Not": _not,
    "Or": _or,
}

__all__ = ["CHECKS", "Scope", "Subject", "all_hold", "holds", "subject_of"]
