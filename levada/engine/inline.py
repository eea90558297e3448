"""Tasks that the executor evaluates itself, in the same turn: they only compute, or change the execution.

One function per type, found in `EVALUATORS`. Each gets the rendered properties and answers with a `Result`; None means
that the task waits for a timer. Types and properties are declared for flow files in levada/plugins/core.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from levada import expr
from levada.engine.plan import INLINE, Node
from levada.engine.turn import Turn
from levada.model import durations
from levada.model.effects import TimerKind, WriteMetrics
from levada.model.errors import UserError
from levada.model.events import (
    ExecutionEnding,
    ExecutionStateChanged,
    LabelsSet,
    TaskRunStarted,
    TaskRunStateChanged,
    VariablesSet,
)
from levada.model.execution import TaskRun
from levada.model.jobs import MetricEntry
from levada.model.states import State

LEVELS = frozenset({"TRACE", "DEBUG", "INFO", "WARN", "ERROR"})


class Result(msgspec.Struct, frozen=True):
    state: State = State.SUCCESS
    outputs: dict[str, Any] | None = None
    error: str | None = None


def evaluate(turn: Turn, run: TaskRun, node: Node) -> Result | None:
    """Render the task's properties (unless a worker did) and evaluate it. Raises UserError: the task fails with it."""
    evaluator = EVALUATORS[node.task.type]
    given = (run.conditions or {}).get("properties")
    properties = given if given is not None else _rendered(turn, run, node)
    return evaluator(turn, run, node, properties)


def _rendered(turn: Turn, run: TaskRun, node: Node) -> dict[str, Any]:
    rendered = turn.render(node.task.properties, run, node)
    assert isinstance(rendered, dict)
    return rendered


def _log(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    level = str(p.get("level", "INFO")).upper()
    if level not in LEVELS:
        raise UserError(f"`level` must be one of {', '.join(sorted(LEVELS))}, but is `{level}`")
    messages = p.get("message")
    for message in messages if isinstance(messages, list) else [messages]:
        turn.log(level, _shown(message), run)
    return Result()


def _return(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    value = p.get("format")
    turn.log("DEBUG", _shown(value), run)
    _metrics(turn, run, [("length", "counter", float(len(_shown(value))), {}), ("duration", "timer", 0.0, {})])
    return Result(outputs={"value": value} if value is not None else {})


def _echo(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    turn.log(str(p.get("level", "INFO")).upper(), _shown(p.get("format")), run)
    return Result()


def _output_values(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    return Result(outputs={"values": p.get("values")})


def _fail(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    condition = p.get("condition")
    if condition is not None and not expr.truthy(condition):
        return Result()
    return Result(State.FAILED, error=str(p.get("errorMessage", "Task failure")))


def _assert(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    raw = node.task.properties.get("conditions") or []
    failed = [raw[n] for n, held in enumerate(p.get("conditions") or []) if not expr.truthy(held)]
    held = len(raw) - len(failed)
    _metrics(turn, run, [("failed", "counter", float(len(failed)), {}), ("success", "counter", float(held), {})])
    if not failed:
        return Result()
    for condition in failed:
        turn.log("ERROR", f"Assertion failed: {condition}", run)
    message = p.get("errorMessage")
    return Result(
        State.FAILED, error=str(message) if message else f"{len(failed)} assertion{'s' * (len(failed) > 1)} failed"
    )


def _exit(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    name = str(p.get("state", "SUCCESS")).upper()
    allowed = ("SUCCESS", "WARNING", "KILLED", "FAILED", "CANCELLED")
    if name not in allowed:
        raise UserError(f"`state` must be one of {', '.join(allowed)}, but is `{name}`")
    if name == "KILLED":
        turn.emit(ExecutionStateChanged(at=turn.now, state=State.KILLING))
        turn.stop_all = True
        return Result()
    turn.emit(ExecutionEnding(at=turn.now, state=State(name)))
    return Result()


def _labels(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    given = p.get("labels")
    pairs: list[tuple[str, Any]]
    if isinstance(given, str):
        given = msgspec.json.decode(given)
    if isinstance(given, dict):
        pairs = list(given.items())
    elif isinstance(given, list):
        pairs = [(str(entry.get("key") or ""), entry.get("value")) for entry in given if isinstance(entry, dict)]
    else:
        raise UserError("`labels` must be a map or a list of key and value")
    merged = dict(turn.execution.labels)
    for key, value in pairs:
        if not key or value is None or value == "":
            raise UserError(f"a label needs a key and a value, but got `{key}` = `{value}`")
        if str(key).startswith("system."):
            raise UserError(f"System labels can only be set by Kestra itself, offending label: {key}={value}")
        merged[str(key)] = _shown(value)
    turn.emit(LabelsSet(at=turn.now, labels=list(merged.items())))
    turn.forget_variables()
    return Result()


def _set_variables(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    given = p.get("variables")
    if not isinstance(given, dict):
        raise UserError("`variables` must be a map")
    present = {**turn.plan.flow.variables, **(turn.execution.variables or {})}
    if p.get("overwrite", True) in (False, "false"):
        clash = sorted(set(given) & set(present))
        if clash:
            raise UserError(f"the variable `{clash[0]}` exists already and `overwrite` is false")
    merged = _deep_merge(turn.execution.variables or {}, given)
    turn.emit(VariablesSet(at=turn.now, variables=merged))
    turn.forget_variables()
    return Result()


def _unset_variables(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    variables: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(turn.execution.variables or {}))
    lenient = p.get("ignoreMissing", False) in (True, "true")
    for path in p.get("variables") or []:
        node_: Any = variables
        *parents, last = str(path).split(".")
        for part in parents:
            node_ = node_.get(part) if isinstance(node_, dict) else None
        if isinstance(node_, dict) and last in node_:
            del node_[last]
        elif not lenient:
            raise UserError(f"the variable `{path}` does not exist; set `ignoreMissing: true` to pass over it")
    turn.emit(VariablesSet(at=turn.now, variables=variables))
    turn.forget_variables()
    return Result()


def _publish(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result:
    metrics = []
    for metric in p.get("metrics") or []:
        kind = str(metric.get("type", "counter")).lower()
        value = metric.get("value")
        amount = durations.parse(value) / 1000 if isinstance(value, str) and value.startswith("P") else float(value)
        tags = {str(k): _shown(v) for k, v in (metric.get("tags") or {}).items()}
        metrics.append((str(metric.get("name")), kind, amount, tags))
    _metrics(turn, run, metrics)
    return Result()


def _sleep(turn: Turn, run: TaskRun, node: Node, p: dict[str, Any]) -> Result | None:
    duration = durations.parse(str(p.get("duration")))
    timeout = turn.render(node.task.timeout, run, node)
    if timeout:
        duration = min(duration, durations.parse(str(timeout)))
    if run.state is not State.RUNNING:
        turn.emit(TaskRunStarted(at=turn.now, id=run.id, attempt=run.attempt + 1))
    turn.log("INFO", f"Waiting for {p.get('duration')}", run)
    due = turn.now + duration
    turn.emit(TaskRunStateChanged(at=turn.now, id=run.id, state=State.RUNNING, due=due))
    turn.arm(TimerKind.SLEEP, due, run.id)
    return None


def sleep_over(turn: Turn, run: TaskRun, node: Node) -> Result:
    """The timer of a Sleep fired: it slept its time, or reached its timeout."""
    timeout = turn.render(node.task.timeout, run, node)
    if timeout:
        wanted = durations.parse(str(turn.render(node.task.properties.get("duration"), run, node)))
        if durations.parse(str(timeout)) < wanted:
            turn.log("ERROR", f"Timeout: the task was stopped after {timeout}", run)
            return Result(State.FAILED, error=f"Timeout after {timeout}")
    return Result()


def _deep_merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        present = merged.get(key)
        merged[key] = _deep_merge(present, value) if isinstance(present, dict) and isinstance(value, dict) else value
    return merged


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return msgspec.json.encode(value).decode()


def _metrics(turn: Turn, run: TaskRun, found: list[tuple[str, str, float, dict[str, str]]]) -> None:
    x = turn.execution
    entries = [
        MetricEntry(
            execution_id=x.id,
            tenant=x.tenant,
            namespace=x.namespace,
            flow_id=x.flow_id,
            task_id=run.task_id,
            task_run_id=run.id,
            name=name,
            kind=kind,
            value=value,
            at=turn.now,
            tags=tags,
        )
        for name, kind, value, tags in found
    ]
    turn.effect(WriteMetrics(entries=entries))


EVALUATORS: dict[str, Callable[[Turn, TaskRun, Node, dict[str, Any]], Result | None]] = {
    "core.log.Log": _log,
    "core.debug.Return": _return,
    "core.debug.Echo": _echo,
    "core.output.OutputValues": _output_values,
    "core.execution.Fail": _fail,
    "core.execution.Assert": _assert,
    "core.execution.Exit": _exit,
    "core.execution.Labels": _labels,
    "core.execution.SetVariables": _set_variables,
    "core.execution.UnsetVariables": _unset_variables,
    "core.metric.Publish": _publish,
    "core.flow.Sleep": _sleep,
}
assert EVALUATORS.keys() == INLINE, "every inline type needs its evaluator"
