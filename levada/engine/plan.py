"""A flow prepared for the engine: every task found by id, with its place, its kind and what its expressions need.

Built once per revision and kept (`plan_of`), because `decide` must not walk the flow for every command.
"""

from enum import StrEnum
from typing import Any

from levada import expr
from levada.model.flow import Flow, Task

#: Types that hold other tasks and are ordered by the executor (engine/flowables).
CONTAINERS = frozenset(
    {
        "core.flow.Sequential",
        "core.flow.Parallel",
        "core.flow.Dag",
        "core.flow.If",
        "core.flow.Switch",
        "core.flow.ForEach",
        "core.flow.EachSequential",
        "core.flow.EachParallel",
        "core.flow.ForEachItem",
        "core.flow.Loop",
        "core.flow.LoopUntil",
        "core.flow.AllowFailure",
        "core.flow.Pause",
        "core.flow.Template",
    }
)
#: Types evaluated by the executor in the same turn (engine/inline.py).
INLINE = frozenset(
    {
        "core.log.Log",
        "core.debug.Return",
        "core.debug.Echo",
        "core.output.OutputValues",
        "core.execution.Fail",
        "core.execution.Assert",
        "core.execution.Exit",
        "core.execution.Labels",
        "core.execution.SetVariables",
        "core.execution.UnsetVariables",
        "core.metric.Publish",
        "core.flow.Sleep",
    }
)
#: Inline types that a worker runs where the executor can not: their lines go to a file, or what they read needs a service.
RUNS_ON_WORKERS = frozenset(
    {
        "core.log.Log",
        "core.debug.Return",
        "core.debug.Echo",
        "core.output.OutputValues",
        "core.execution.Fail",
        "core.execution.Assert",
        "core.metric.Publish",
    }
)
FOR_EACH_ITEM = "core.flow.ForEachItem$ForEachItem"
#: Types that start other executions.
EXECUTABLES = frozenset({"core.flow.Subflow", FOR_EACH_ITEM + "Executable"})

#: Properties of containers that the executor evaluates, by type.
CONTROLS: dict[str, tuple[str, ...]] = {
    "core.flow.If": ("condition",),
    "core.flow.Switch": ("value",),
    "core.flow.ForEach": ("values",),
    "core.flow.EachSequential": ("value",),
    "core.flow.EachParallel": ("value",),
    "core.flow.Loop": ("values",),
    "core.flow.Pause": ("pauseDuration", "delay", "timeout", "behavior"),
    "core.flow.Parallel": ("concurrent",),
    "core.flow.Dag": ("concurrent",),
}


class Kind(StrEnum):
    CONTAINER = "container"
    INLINE = "inline"
    EXECUTABLE = "executable"
    WORKING_DIRECTORY = "working_directory"
    JOB = "job"


class Node:
    """A task in its place. `siblings` is the whole branch; `parent` None at the top level of the flow."""

    __slots__ = ("branch", "index", "io", "kind", "parent", "siblings", "task")

    def __init__(self, task: Task, parent: "Node | None", branch: str, index: int, siblings: tuple[Task, ...]) -> None:
        self.task = task
        self.parent = parent
        self.branch = branch
        self.index = index
        self.siblings = siblings
        self.kind = _kind_in_place(task)
        self.io = _asks_services(self._evaluated_here())

    def _evaluated_here(self) -> list[Any]:
        """What the executor would render itself."""
        read: list[Any] = [self.task.run_if]
        if self.kind in (Kind.INLINE, Kind.EXECUTABLE):
            read.append(self.task.properties)
        elif self.kind is Kind.CONTAINER:
            read.extend(self.task.properties.get(name) for name in CONTROLS.get(self.task.type, ()))
        return read


def _kind_in_place(task: Task) -> Kind:
    if task.type in RUNS_ON_WORKERS and (task.log_to_file or _asks_services([task.properties])):
        return Kind.JOB
    return kind_of(task.type)


def _asks_services(values: list[Any]) -> bool:
    """True when a template among the values needs a service (secret, kv, read …)."""
    try:
        return any(expr.needs_io(value) for value in values if value is not None)
    except expr.ExpressionError:
        return False  # what does not even parse fails the task when it is rendered, with its position


def kind_of(type_: str) -> Kind:
    if type_ in CONTAINERS:
        return Kind.CONTAINER
    if type_ in INLINE:
        return Kind.INLINE
    if type_ in EXECUTABLES:
        return Kind.EXECUTABLE
    if type_ == "core.flow.WorkingDirectory":
        return Kind.WORKING_DIRECTORY
    return Kind.JOB


class Plan:
    """`nodes` by task id. `stages` of the execution itself: main, errors, finally, after."""

    __slots__ = ("flow", "nodes", "stages")

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.nodes: dict[str, Node] = {}
        after = flow.after_execution
        for listener in flow.listeners:
            after += listener.tasks
        self.stages: dict[str, tuple[Task, ...]] = {
            "main": flow.tasks,
            "errors": flow.errors,
            "finally": flow.finally_,
            "after": after,
        }
        for stage, tasks in self.stages.items():
            self._add(tasks, None, stage)

    def _add(self, tasks: tuple[Task, ...], parent: Node | None, branch: str) -> None:
        for index, task in enumerate(tasks):
            node = Node(task, parent, branch, index, tasks)
            self.nodes[task.id] = node
            for name, children in task.branches.items():
                self._add(children, node, name)
            if task.type == "core.flow.ForEachItem":
                for place, part in enumerate(for_each_item_parts(task)):
                    self.nodes[part.id] = Node(part, node, "tasks", place, ())


def for_each_item_parts(task: Task) -> tuple[Task, ...]:
    """The three task runs of a ForEachItem: split the file, one subflow per batch, merge their outputs."""
    p = task.properties
    split = {"items": p.get("items"), "batch": p.get("batch") or {}}
    merge = {"outputs": f"{{{{ (outputs['{task.id}_items'].children ?? []) | toJson }}}}"}
    run = {key: value for key, value in p.items() if key not in ("items", "batch")}
    return (
        Task(id=f"{task.id}_split", type=f"{FOR_EACH_ITEM}Split", properties=split, retry=task.retry),
        Task(id=f"{task.id}_items", type=f"{FOR_EACH_ITEM}Executable", properties=run, timeout=task.timeout),
        Task(id=f"{task.id}_merge", type=f"{FOR_EACH_ITEM}MergeOutputs", properties=merge),
    )


_PLANS: dict[int, Plan] = {}
_PLANS_MAX = 1024


def plan_of(flow: Flow) -> Plan:
    """Return the plan of a flow object, made once. Keyed by identity: flows are immutable and cached by their reader."""
    plan = _PLANS.get(id(flow))
    if plan is None or plan.flow is not flow:
        if len(_PLANS) >= _PLANS_MAX:
            _PLANS.clear()
        plan = _PLANS[id(flow)] = Plan(flow)
    return plan
