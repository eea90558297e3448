"""The engine: what a command does to an execution.

    decide(execution | None, flow, command, now, env, source=None) -> Decision(execution, events, effects)

`execution` is consumed (see evolve). The same arguments always give the same decision: no I/O, no clock, no randomness.
`UserError` (mostly `Refused`) means that the command does not fit and nothing happened; after any other exception the
execution object must be thrown away and loaded again.

Every command has a handler that records the wish; `settle` then looks at what may start because of it. `preview` stops
before that: it gives the execution as the wish leaves it, which is what the API answers with.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from levada.engine import advance, kill, lifecycle, results, rewind, start, timers
from levada.engine.environment import Environment
from levada.engine.evolve import evolve
from levada.engine.plan import Plan, plan_of
from levada.engine.turn import Refused, Turn
from levada.model import commands as cmd
from levada.model.effects import Effect
from levada.model.errors import Defect
from levada.model.events import Event
from levada.model.execution import Execution
from levada.model.flow import Flow


class Decision(msgspec.Struct):
    """`execution` is None when the command made none (a refused subflow start)."""

    execution: Execution | None
    events: list[Event]
    effects: list[Effect]


def decide(
    execution: Execution | None,
    flow: Flow | None,
    command: cmd.Command,
    now: int,
    env: Environment,
    source: Execution | None = None,
) -> Decision:
    """Decide a command. `source` is the execution to replay, when the command names one."""
    if isinstance(command, cmd.StartExecution):
        return _start(execution, flow, command, now, env, source)
    if execution is None or execution.deleted:
        reason = f"Unable to find execution {command.execution_id}"
        if isinstance(command, cmd.RestartExecution):
            return Decision(None, [], list(start.refuse(command, reason)))
        raise Refused(reason, 404)
    turn = Turn(execution, plan_of(flow) if flow is not None else _EMPTY, now, env)
    if flow is None and not isinstance(command, _WITHOUT_FLOW):
        command = cmd.FaultExecution(
            execution_id=execution.id,
            error=f"revision {execution.flow_revision} of its flow can not be read any more",
        )
    _HANDLERS[type(command)](turn, command)
    for follow_up in _FOLLOW_UPS.get(type(command), ()):
        follow_up(turn)
    return _settled(turn)


def preview(
    execution: Execution, flow: Flow, command: cmd.Command, now: int, env: Environment | None = None
) -> Execution:
    """Return the execution as the command leaves it before anything goes on. Raises Refused."""
    turn = Turn(execution, plan_of(flow), now, env or Environment())
    _HANDLERS[type(command)](turn, command)
    return turn.execution


def preview_start(flow: Flow, command: cmd.StartExecution, now: int, source: Execution | None = None) -> Execution:
    """Return the execution that a start makes, in its first state. Raises Refused."""
    reason = start.refusal(command, flow)
    if reason is not None:
        raise Refused(reason, 404)
    return evolve(None, start.created(command, flow, now, source)[0])


def _start(
    execution: Execution | None,
    flow: Flow | None,
    command: cmd.StartExecution,
    now: int,
    env: Environment,
    source: Execution | None,
) -> Decision:
    if execution is not None:
        return Decision(execution, [], [])  # the same start again: it happened
    reason = start.refusal(command, flow)
    if reason is not None or flow is None:
        return Decision(None, [], list(start.refuse(command, reason or "no flow")))
    event, problem = start.created(command, flow, now, source)
    turn = Turn(evolve(None, event), plan_of(flow), now, env)
    turn.events.append(event)
    if event.task_runs:
        rewind.proceed(turn)
    else:
        start.launch(turn, problem)
    return _settled(turn)


def _settled(turn: Turn) -> Decision:
    advance.settle(turn)
    while turn.stop_all:
        turn.stop_all = False
        kill.stop_task_runs(turn)
        advance.settle(turn)
    turn.finish()
    return Decision(turn.execution, turn.events, turn.effects)


def _go_on(turn: Turn, command: cmd.ContinueExecution) -> None:
    for container in command.containers:
        if container in turn.execution.task_runs:
            turn.visit(container)


def _nothing_to_start(turn: Turn, command: Any) -> None:
    raise Defect(f"{type(command).__name__} has no handler here")


_HANDLERS: dict[type, Callable[[Turn, Any], None]] = {
    cmd.StartExecution: _nothing_to_start,
    cmd.TaskStarted: results.started,
    cmd.TaskProgressed: results.progressed,
    cmd.TaskFinished: results.finished,
    cmd.WorkerLost: results.lost,
    cmd.SubflowEnded: results.subflow_ended,
    cmd.SubflowStarted: results.subflow_started,
    cmd.TimerFired: timers.fired,
    cmd.AdmitExecution: lifecycle.admitted,
    cmd.UnqueueExecution: lifecycle.ask_unqueue,
    cmd.ForceRunExecution: lambda turn, command: lifecycle.ask_force_run(turn),
    cmd.ContinueExecution: _go_on,
    cmd.KillExecution: lifecycle.ask_kill,
    cmd.PauseExecution: lambda turn, command: lifecycle.ask_pause(turn),
    cmd.ResumeExecution: lifecycle.ask_resume,
    cmd.RestartExecution: rewind.restart,
    cmd.ChangeTaskRunState: rewind.change_task_run,
    cmd.ChangeExecutionState: lifecycle.change_state,
    cmd.SetLabels: lifecycle.set_labels,
    cmd.DeleteExecution: lambda turn, command: lifecycle.delete(turn),
    cmd.FaultExecution: lifecycle.fault,
}
assert _HANDLERS.keys() == set(cmd.Command.__args__), "every command needs its handler"

#: What runs after the wish is recorded, and not in a preview.
_FOLLOW_UPS: dict[type, tuple[Callable[[Turn], None], ...]] = {
    cmd.RestartExecution: (rewind.proceed_restarted,),
    cmd.ChangeTaskRunState: (rewind.proceed,),
}
_WITHOUT_FLOW = (cmd.SetLabels, cmd.DeleteExecution, cmd.ChangeExecutionState, cmd.FaultExecution)
_EMPTY = Plan(Flow(id="missing", namespace="missing"))

__all__ = ["Decision", "Refused", "decide", "preview", "preview_start"]
