"""Why does this flow not start? What its triggers wait for, or what is wrong with them, in words.

As in `why.py`, `Facts` is what was read and `causes` is pure. First comes what concerns the flow as a whole (it is disabled,
it can not be read, nobody fires schedules), then each trigger by itself: switched off, an expression that is wrong, the
execution before it that still runs, a date that is overdue, or simply the next date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from levada.model.flow import Flow, Trigger
from levada.runtime.webhooks import TYPE as WEBHOOK
from levada.runtime.why import Cause, many, moment, some
from levada.store.members import Member
from levada.store.triggers import TriggerState

SCHEDULES = frozenset({"core.trigger.Schedule", "core.trigger.ScheduleOnDates"})
#: A date is overdue when it is so late: schedulers look at least once a second, unless told otherwise.
LATE_US = 5_000_000


class Facts(msgspec.Struct, kw_only=True):
    """What was read about one flow. `now` is the database's clock, by which schedules are fired."""

    now: int
    #: None where it can not be read; `error` says why.
    flow: Flow | None
    error: str | None = None
    #: Whether it was disabled, in its source or by the API.
    disabled: bool = False
    states: Sequence[TriggerState] = ()
    schedulers: Sequence[Member] = ()
    #: Schedules of all flows that are overdue.
    overdue: int = 0


class TriggerCauses(msgspec.Struct, frozen=True, rename="camel"):
    """One trigger and what keeps it; `next_date` is epoch microseconds."""

    trigger_id: str
    type: str
    next_date: int | None
    causes: list[Cause]


def late(state: TriggerState, now: int) -> bool:
    """Whether a date has come that nobody has fired, although nothing of the schedule itself is in the way."""
    at = state.next_slot
    return _runs(state) and at is not None and at < now - LATE_US and state.waits_for is None


def of_flow(facts: Facts) -> list[Cause]:
    """Return what keeps every trigger of the flow."""
    return list(_of_flow(facts))


def of_triggers(facts: Facts, only: str | None = None) -> list[TriggerCauses]:
    """Return each trigger of the flow, or `only` that one, with what keeps it."""
    states = {state.trigger_id: state for state in facts.states}
    triggers = facts.flow.triggers if facts.flow is not None else ()
    found = []
    for trigger in triggers:
        state = states.get(trigger.id)
        at = state.next_slot if state is not None and not state.probe else None
        found.append(TriggerCauses(trigger.id, trigger.type, at, list(_of_trigger(facts, trigger, state))))
    return [each for each in found if only in (None, each.trigger_id)]


# --- the flow


def _of_flow(facts: Facts) -> Iterator[Cause]:
    flow = facts.flow
    if flow is None:
        yield Cause(code="FLOW_BROKEN", message=f"the flow can not be read: {facts.error}", remedy="mend and save it")
        return
    if facts.disabled:
        yield Cause(code="FLOW_DISABLED", message="the flow is disabled, so nothing starts it", remedy="enable it")
    if flow.draft:
        yield Cause(code="FLOW_DRAFT", message="the flow is a draft, and was never published", remedy="publish it")
    if not flow.triggers:
        yield Cause(code="NO_TRIGGER", message="the flow has no triggers: only people and other flows start it")
    if any(trigger.type in SCHEDULES for trigger in flow.triggers):
        yield from _without_scheduler(facts)


def _without_scheduler(facts: Facts) -> Iterator[Cause]:
    if any(member.live for member in facts.schedulers):
        return
    last = max(facts.schedulers, key=lambda member: member.lease_until, default=None)
    gone = f"; {last.name} was there until {moment(last.lease_until)}" if last is not None else ""
    yield Cause(
        code="NO_SCHEDULER",
        message=f"no scheduler is alive, so no schedule fires{gone}",
        remedy="start one: levada serve scheduler",
        since=last.lease_until if last is not None else None,
    )


# --- one trigger


def _of_trigger(facts: Facts, trigger: Trigger, state: TriggerState | None) -> Iterator[Cause]:
    if trigger.disabled:
        yield Cause(
            code="TRIGGER_DISABLED",
            message="it is disabled in the flow",
            remedy=f"take `disabled: true` out of trigger {trigger.id}",
        )
    elif trigger.type == WEBHOOK:
        yield Cause(code="WEBHOOK", message="it starts the flow when its address is called, and by itself never")
    elif trigger.type not in SCHEDULES:
        yield Cause(
            code="NOT_FIRED",
            message=f"nothing fires a trigger of type {trigger.type} in this release; it fires schedules and webhooks",
        )
    elif facts.disabled or (facts.flow is not None and facts.flow.draft):
        yield Cause(code="FLOW_OFF", message="it waits for its flow, which may not run")
    elif state is None or (facts.flow is not None and state.revision < facts.flow.revision):
        yield Cause(
            code="NOT_SEEN",
            message="no scheduler has read this revision of the flow yet; that takes about a second",
            remedy="if it lasts, look at the log of the schedulers",
        )
    else:
        yield from _of_schedule(facts, state)


def _of_schedule(facts: Facts, state: TriggerState) -> Iterator[Cause]:
    if state.disabled:
        note = f" ({state.note})" if state.note else ""
        yield Cause(
            code="SWITCHED_OFF", message=f"it was switched off{note}", remedy="switch it on", since=state.updated
        )
        return
    if state.error is not None:
        again = f"; it is looked at again at {moment(state.next_slot)}" if state.next_slot is not None else ""
        yield Cause(
            code="SCHEDULE_BROKEN",
            message=f"it can not fire: {state.error}{again}",
            remedy="mend the flow",
            since=state.updated,
            until=state.next_slot,
        )
    elif state.waits_for is not None:
        yield _waiting(facts, state, state.waits_for)
    elif state.next_slot is None:
        yield Cause(code="NO_FURTHER_DATE", message=f"it has no further date{_noted(state)}", since=state.updated)
    elif late(state, facts.now):
        yield _overdue(facts, state, state.next_slot)
    elif state.probe:
        yield Cause(
            code="LOOKING",
            message="its next date is being looked for"
            + (f", from {moment(state.next_slot)} on: no date before meets its conditions" if state.last_slot else ""),
            until=state.next_slot,
        )
    else:
        yield Cause(
            code="NEXT_DATE",
            message=f"nothing is wrong: it fires at {moment(state.next_slot)}{_noted(state)}",
            until=state.next_slot,
        )


def _waiting(facts: Facts, state: TriggerState, execution: str) -> Cause:
    due = state.next_slot is not None and state.next_slot <= facts.now
    date = "its date" if state.next_slot is None else f"the date {moment(state.next_slot)}"
    return Cause(
        code="WAITS_FOR_EXECUTION" if due else "NEXT_DATE",
        message=f"{date} waits until execution {some([execution])}, which the one before started, has ended"
        if due
        else f"nothing is wrong: {date} comes when execution {execution}, which still runs, has ended by then",
        remedy=f"levada why {execution}; or `allowConcurrent: true`" if due else None,
        since=state.next_slot if due else None,
        until=None if due else state.next_slot,
        executions=[execution],
    )


def _overdue(facts: Facts, state: TriggerState, at: int) -> Cause:
    """A date that came and was not fired: nobody fires, or there is more to fire than they manage."""
    living = [member for member in facts.schedulers if member.live]
    others = max(facts.overdue - 1, 0)
    if not living:
        return Cause(code="OVERDUE", message=f"its date {moment(at)} waits for a scheduler", since=at)
    return Cause(
        code="BACKLOG" if others else "OVERDUE",
        message=f"its date {moment(at)} is overdue, as are {many(others, 'other schedule')}: "
        f"{many(len(living), 'scheduler')} at work",
        remedy="start more schedulers, or see in their log what keeps them",
        since=at,
    )


def _runs(state: TriggerState) -> bool:
    return state.active and not state.disabled and state.error is None


def _noted(state: TriggerState) -> str:
    return f" ({state.note})" if state.note else ""
