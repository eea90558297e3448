"""Subflow and the middle part of ForEachItem: task runs that start other executions and wait for them.

The child's id derives from the task run, so a repeated command starts it once. The child reports back with `SubflowEnded`;
what its state means for the parent is decided here.
"""

from typing import Any

from levada import expr
from levada.engine.inline import Result
from levada.engine.plan import FOR_EACH_ITEM, Node
from levada.engine.turn import Turn
from levada.model import ids
from levada.model.commands import RestartExecution, StartExecution, SubflowEnded
from levada.model.errors import UserError
from levada.model.events import TaskRunOutputsSet, TaskRunStarted
from levada.model.execution import Execution, Origin, Parent, TaskRun
from levada.model.states import FAILURES, State

COUNTED = (State.CREATED, State.RUNNING, State.SUCCESS, State.WARNING, State.FAILED, State.KILLED, State.CANCELLED)


def start(turn: Turn, run: TaskRun, node: Node) -> Result | None:
    """Start the child (or the children, one per batch). Raises UserError: the task fails with it."""
    given = (run.conditions or {}).get("properties")
    if node.task.type == f"{FOR_EACH_ITEM}Executable":
        return _start_batches(turn, run, node, given)
    properties = given if given is not None else turn.render(_properties(node), run, node)
    if run.child_execution is not None and turn.execution.restarts and _retries_failed(node):
        turn.emit(TaskRunStarted(at=turn.now, id=run.id, attempt=run.attempt + 1))
        ask_again(turn, run, run.child_execution)
        return None
    attempt = run.attempt + 1
    child = ids.derive(run.id, "child", attempt)
    turn.emit(TaskRunStarted(at=turn.now, id=run.id, attempt=attempt))
    wait = _flag(properties, "wait", True)
    turn.emit(TaskRunOutputsSet(at=turn.now, id=run.id, outputs={"executionId": child}, child_execution=child))
    turn.send(_child_command(turn, run, node, properties, child, wait=wait))
    if not wait:
        return Result(State.SUCCESS, {"executionId": child})
    return None


def ask_again(turn: Turn, run: TaskRun, child: str) -> None:
    """Let the child of an earlier attempt run again for this one; it answers with its end whatever it can do."""
    turn.send(RestartExecution(execution_id=child, parent=asker(turn, run)))


def asker(turn: Turn, run: TaskRun) -> Parent:
    """Who asks something of a child: its present attempt is what tells a repeat from a new wish."""
    return Parent(execution_id=turn.execution.id, task_run_id=run.id, attempt=run.attempt)


def attempt_of_parent(x: Execution, asking: Parent | None) -> int | None:
    """Return the attempt for which a child is asked something; None when it is not its own parent's task run that asks."""
    known = x.parent
    if asking is None or known is None:
        return None
    same = (asking.execution_id, asking.task_run_id) == (known.execution_id, known.task_run_id)
    return asking.attempt if same else None


def _properties(node: Node) -> dict[str, Any]:
    """What is rendered before the child starts; `outputs` (deprecated) are rendered when it has ended."""
    return {key: value for key, value in node.task.properties.items() if key != "outputs"}


def _retries_failed(node: Node) -> bool:
    """Whether a restart of the parent restarts the child. A retry of the task alone always starts another one."""
    return str(node.task.properties.get("restartBehavior", "RETRY_FAILED")) == "RETRY_FAILED"


def _flag(properties: dict[str, Any], name: str, default: bool) -> bool:
    value = properties.get(name)
    return default if value is None else expr.truthy(value)


def _child_command(
    turn: Turn,
    run: TaskRun,
    node: Node,
    properties: dict[str, Any],
    child: str,
    *,
    wait: bool,
    iteration: int | None = None,
) -> StartExecution:
    x = turn.execution
    namespace, flow_id = str(properties.get("namespace") or ""), str(properties.get("flowId") or "")
    if not namespace or not flow_id:
        raise UserError("a subflow needs `namespace` and `flowId`")
    depth = _depth(x) + 1
    if depth > turn.env.subflow_depth:
        raise UserError(f"subflows are nested more than {turn.env.subflow_depth} deep: does a flow call itself?")
    revision = properties.get("revision")
    inputs = properties.get("inputs")
    if inputs is not None and not isinstance(inputs, dict):
        raise UserError("`inputs` of a subflow must be a map")
    variables: dict[str, Any] = {
        "executionId": x.id,
        "namespace": x.namespace,
        "flowId": x.flow_id,
        "flowRevision": x.flow_revision,
    }
    if run.value is not None:
        variables["taskRunValue"] = run.value
    if iteration is not None:
        variables["taskRunIteration"] = iteration
    if depth > 1:
        variables["depth"] = depth
    return StartExecution(
        execution_id=child,
        tenant=x.tenant,
        namespace=namespace,
        flow_id=flow_id,
        flow_revision=int(revision) if revision not in (None, "") else None,
        inputs=inputs or {},
        labels=_labels(turn, properties),
        trigger=Origin(id=node.task.id, type=_full(node), variables=variables),
        parent=Parent(
            execution_id=x.id,
            task_run_id=run.id,
            attempt=run.attempt,
            wait=wait,
            iteration=iteration,
            outputs=node.task.properties.get("outputs") or None,
        ),
        scheduled=_scheduled(properties),
        correlation_id=dict(x.labels).get("system.correlationId", x.id),
        trace_parent=x.trace_parent,
    )


def _full(node: Node) -> str:
    return f"io.kestra.plugin.{node.task.type}"


def _depth(x: Execution) -> int:
    """How many executions are above this one; only subflows carry it, from the second level on."""
    if x.parent is None or x.trigger is None:
        return 0
    return int(x.trigger.variables.get("depth", 1))


def _scheduled(properties: dict[str, Any]) -> int | None:
    text = properties.get("scheduleDate")
    if not text:
        return None
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as e:
        raise UserError(f"`scheduleDate` must be an ISO date and time, but is `{text}`") from e
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _labels(turn: Turn, properties: dict[str, Any]) -> list[tuple[str, str]]:
    labels: dict[str, str] = {}
    if _flag(properties, "inheritLabels", False):
        labels.update({k: v for k, v in turn.execution.labels if not k.startswith("system.")})
    given = properties.get("labels")
    if isinstance(given, dict):
        labels.update({str(k): str(v) for k, v in given.items()})
    elif isinstance(given, list):
        labels.update({str(e["key"]): str(e["value"]) for e in given if isinstance(e, dict)})
    return list(labels.items())


def ended(turn: Turn, run: TaskRun, node: Node, command: SubflowEnded) -> Result | None:
    """The child is over: None while other batches still run. Raises UserError when `outputs` do not render."""
    if command.iteration is not None:
        return _batch_ended(turn, run, node, command)
    outputs: dict[str, Any] = {"executionId": command.child_id, "state": command.state.value}
    if command.outputs is not None:
        outputs["outputs"] = command.outputs
    if command.error is not None:
        return Result(State.FAILED, outputs, command.error)
    return Result(_transmitted(node, command.state), outputs)


def _transmitted(node: Node, state: State) -> State:
    if node.task.properties.get("transmitFailed", True) in (False, "false"):
        return State.SUCCESS
    if state in FAILURES:
        return State.FAILED
    return State.WARNING if state is State.WARNING else State.SUCCESS


# -- ForEachItem: one subflow per batch ----------------------------------------------------------------------------
def _start_batches(turn: Turn, run: TaskRun, node: Node, given: dict[str, Any] | None) -> Result | None:
    assert node.parent is not None
    split = turn.execution.tree.get(f"{node.parent.task.id}_split", {})
    values = turn.variables(run, node)["outputs"].get(f"{node.parent.task.id}_split", split)
    batches = list(values["uris"]) if "uris" in values else []
    attempt = run.attempt + 1
    turn.emit(TaskRunStarted(at=turn.now, id=run.id, attempt=attempt))
    wait = _flag(node.task.properties, "wait", True)
    counts = {State.RUNNING.value: 0, State.SUCCESS.value: len(batches)}
    if wait:
        counts = {**{state.value: 0 for state in COUNTED}, State.RUNNING.value: len(batches)}
    outputs: dict[str, Any] = {"numberOfBatches": len(batches), "iterations": counts}
    if values.get("splits"):
        outputs["splits"] = values["splits"]
    turn.emit(TaskRunOutputsSet(at=turn.now, id=run.id, outputs=outputs))
    for iteration, uri in enumerate(batches):
        child = ids.derive(run.id, "child", attempt, iteration)
        scope = {**turn.variables(run, node)["taskrun"], "items": uri, "iteration": iteration}
        properties = given if given is not None else turn.render(_properties(node), run, node, taskrun=scope)
        turn.send(_child_command(turn, run, node, properties, child, wait=wait, iteration=iteration))
    if not batches or not wait:
        return Result()
    return None


def _batch_ended(turn: Turn, run: TaskRun, node: Node, command: SubflowEnded) -> Result | None:
    outputs = run.outputs or {}
    counts = dict(outputs.get("iterations", {}))
    if counts.get("RUNNING", 0) > 0:
        counts["RUNNING"] -= 1
    counts[command.state.value] = counts.get(command.state.value, 0) + 1
    collected = [*outputs.get("children", []), {"iteration": command.iteration, "outputs": command.outputs or {}}]
    turn.emit(TaskRunOutputsSet(at=turn.now, id=run.id, outputs={"iterations": counts, "children": collected}))
    if counts.get("RUNNING", 0) > 0:
        return None
    worst = State.SUCCESS
    for state in (State.WARNING, State.FAILED, State.CANCELLED, State.KILLED):
        if counts.get(state.value):
            worst = state
    return Result(_transmitted(node, worst))
