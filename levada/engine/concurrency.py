"""Concurrency limits: an execution holds a slot from RUNNING until it is terminal; paused ones keep it.

Slots are a set of execution ids that the store keeps in the executor's own transaction. The engine decides on the
shell's reading (`Environment.slots`); when that was stale the commit fails and the turn is decided again.
"""

from levada.engine.turn import Turn
from levada.model.effects import ClaimSlot, JoinQueue, ReleaseSlot
from levada.model.events import ExecutionStateChanged, SlotReleased, SlotTaken
from levada.model.flow import ConcurrencyBehavior
from levada.model.states import State


def admit(turn: Turn) -> State | None:
    """Take a slot if the flow has a limit. Returns None when the execution may run, else the state it goes to."""
    concurrency = turn.plan.flow.concurrency
    x = turn.execution
    if concurrency is None or x.holds_slot:
        return None
    if turn.env.slots.get(x.flow_key, 0) < concurrency.limit:
        take(turn)
        return None
    match concurrency.behavior:
        case ConcurrencyBehavior.QUEUE:
            turn.effect(JoinQueue(flow_key=x.flow_key, limit=concurrency.limit, at=turn.now))
            return State.QUEUED
        case ConcurrencyBehavior.CANCEL:
            return State.CANCELLED
        case ConcurrencyBehavior.FAIL:
            return State.FAILED


def take(turn: Turn, *, forced: bool = False) -> None:
    """Take a slot; `forced` ignores the limit (force-run, unqueue)."""
    concurrency = turn.plan.flow.concurrency
    x = turn.execution
    if concurrency is None or x.holds_slot:
        return
    turn.emit(SlotTaken(at=turn.now))
    turn.effect(ClaimSlot(flow_key=x.flow_key, limit=0 if forced else concurrency.limit))


def granted(turn: Turn) -> None:
    """The store gave this queued execution a slot already."""
    turn.emit(SlotTaken(at=turn.now))


def release(turn: Turn) -> None:
    """Give the slot back at the end, or leave the queue."""
    x = turn.execution
    queued = any(state is State.QUEUED for state, _ in x.history)
    if not x.holds_slot and not queued:
        return
    if x.holds_slot:
        turn.emit(SlotReleased(at=turn.now))
    concurrency = turn.plan.flow.concurrency
    turn.effect(ReleaseSlot(flow_key=x.flow_key, limit=concurrency.limit if concurrency is not None else None))


def queue(turn: Turn) -> None:
    turn.emit(ExecutionStateChanged(at=turn.now, state=State.QUEUED))
