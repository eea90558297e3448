"""SLAs: a longest duration, or an assertion checked as the execution advances; each is breached at most once."""

from levada import expr
from levada.engine import kill
from levada.engine.turn import Turn
from levada.model.effects import TimerKind
from levada.model.errors import UserError
from levada.model.events import ExecutionEnding, LabelsSet, SlaBreached
from levada.model.flow import Sla
from levada.model.states import State


def arm(turn: Turn) -> None:
    """Start the clocks of MAX_DURATION when the execution begins to run."""
    for sla in turn.plan.flow.sla:
        if sla.type == "MAX_DURATION" and sla.duration is not None:
            turn.arm(TimerKind.SLA, turn.execution.created + sla.duration, sla.id)


def overdue(turn: Turn, sla_id: str | None) -> None:
    """A clock ran out."""
    for sla in turn.plan.flow.sla:
        if sla.id == sla_id:
            _breach(turn, sla, f"the execution runs longer than allowed by SLA `{sla.id}`")


def check(turn: Turn) -> None:
    """Evaluate the assertions; called whenever a task run has ended."""
    for sla in turn.plan.flow.sla:
        if sla.type != "EXECUTION_ASSERTION" or sla.id in turn.execution.breached or turn.execution.is_terminal:
            continue
        try:
            holds = expr.truthy(turn.render(sla.assertion or ""))
        except UserError:
            continue  # what it reads does not exist yet
        if not holds:
            _breach(turn, sla, f"the assertion of SLA `{sla.id}` does not hold: {sla.assertion}")


def _breach(turn: Turn, sla: Sla, message: str) -> None:
    x = turn.execution
    if x.is_terminal or sla.id in x.breached:
        return
    turn.emit(SlaBreached(at=turn.now, sla=sla.id))
    turn.log("WARN", message)
    if sla.labels:
        turn.emit(LabelsSet(at=turn.now, labels=list({**dict(x.labels), **dict(sla.labels)}.items())))
        turn.forget_variables()
    if sla.behavior in ("FAIL", "CANCEL") and x.ending is None and x.state is not State.KILLING:
        state = State.FAILED if sla.behavior == "FAIL" else State.CANCELLED
        turn.emit(ExecutionEnding(at=turn.now, state=state, error=message))
        kill.stop_task_runs(turn)
        turn.visit(None)
