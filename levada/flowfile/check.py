"""Rules that span the parts of a flow: run after reading, on the model.

A rule takes the facts and the report; it reports and never raises. `RULES` is the list of all of them.
"""

from collections.abc import Callable, Iterator
from typing import Final

from levada.flowfile import expressions, schedules, upstream
from levada.flowfile.facts import Facts
from levada.flowfile.loader import Path
from levada.flowfile.node import is_dynamic
from levada.flowfile.problems import Report, nearest
from levada.model import flow as model
from levada.sdk import FlowableTask, InlineTask, Task

Rule = Callable[[Facts, Report], None]

#: Words that Kestra's API uses where a flow's id may stand.
RESERVED: Final = frozenset(
    {
        "pause",
        "resume",
        "force-run",
        "change-status",
        "kill",
        "executions",
        "search",
        "source",
        "disable",
        "enable",
    }
)
_WORKING_DIRECTORY = "core.flow.WorkingDirectory"


def check(facts: Facts, report: Report) -> None:
    """Apply every rule."""
    for rule in RULES:
        rule(facts, report)


def reserved_id(facts: Facts, report: Report) -> None:
    """Some ids are also the names of actions in the API: Kestra refuses them."""
    if facts.flow.id in RESERVED:
        report.warn(("id",), f"`{facts.flow.id}` is a reserved word in Kestra; choose another id to stay compatible")


def unique_ids(facts: Facts, report: Report) -> None:
    """Ids name task runs and outputs, so no two tasks or triggers may share one; likewise inputs and outputs."""
    seen: set[str] = set()
    for kind, parts in (("task", facts.tasks), ("trigger", facts.triggers)):
        for part, path in parts:
            if part.id in seen:
                report.error((*path, "id"), f"Duplicate {kind} id with name [{part.id}]")
            elif part.id:
                seen.add(part.id)
    _unique("input", ((one.id, ("inputs", index)) for index, one in enumerate(facts.flow.inputs)), report)
    _unique("output", ((one.id, ("outputs", index)) for index, one in enumerate(facts.flow.outputs)), report)


def _unique(kind: str, parts: Iterator[tuple[str, Path]], report: Report) -> None:
    seen: set[str] = set()
    for identity, path in parts:
        if identity in seen:
            report.error(path, f"Duplicate {kind} with name [{identity}]")
        elif identity:
            seen.add(identity)


def dag_dependencies(facts: Facts, report: Report) -> None:
    """A Dag depends on tasks of its own, without a circle."""
    for task, path in facts.tasks:
        if not task.depends_on:
            continue
        known = {child.id for child in task.branches.get("tasks", ())}
        unknown = sorted({name for names in task.depends_on.values() for name in names} - known)
        for name in unknown:
            message = f"{task.id}: Not existing task id in dependency: {name}{nearest(name, known)}"
            report.error((*path, "tasks"), message)
        circle = find_circle({name: list(names) for name, names in task.depends_on.items()})
        if circle:
            report.error((*path, "tasks"), f"{task.id}: Cyclic dependency detected: {' -> '.join(circle)}")


def input_dependencies(facts: Facts, report: Report) -> None:
    """An input depends on other inputs of the flow, without a circle."""
    known = {one.id for one in facts.flow.inputs}
    known |= {one.id.split(".")[0] for one in facts.flow.inputs}
    wanted = {one.id: list((one.depends_on or {}).get("inputs", [])) for one in facts.flow.inputs}
    for index, one in enumerate(facts.flow.inputs):
        for name in wanted[one.id]:
            if name not in known:
                message = f"input `{one.id}` depends on the input `{name}`, which does not exist{nearest(name, known)}"
                report.error(("inputs", index, "dependsOn"), message)
    circle = find_circle(wanted)
    if circle:
        report.error(("inputs",), f"Cyclic dependency detected: {' -> '.join(circle)}")


def find_circle(edges: dict[str, list[str]]) -> list[str]:
    """Return one circle of a graph, beginning and ending with the same name, or an empty list. Does not recurse."""
    done: set[str] = set()
    for root in edges:
        trail: list[str] = []
        on_trail: set[str] = set()
        pending: list[tuple[str, bool]] = [(root, True)]
        while pending:
            name, entering = pending.pop()
            if not entering:
                on_trail.discard(trail.pop())
                done.add(name)
            elif name in on_trail:
                return [*trail[trail.index(name) :], name]
            elif name not in done:
                trail.append(name)
                on_trail.add(name)
                pending.append((name, False))
                pending.extend((other, True) for other in edges.get(name, ()))
    return []


def no_recursion(facts: Facts, report: Report) -> None:
    """A flow that starts itself would never end."""
    here = (facts.flow.namespace, facts.flow.id)
    for task, path in facts.tasks:
        called = (task.properties.get("namespace"), task.properties.get("flowId"))
        if task.type == "core.flow.Subflow" and called == here:
            name = f"{facts.flow.namespace}.{facts.flow.id}"
            report.error(path, f"Invalid Flow: Recursive call to flow [{name}]")


def working_directories(facts: Facts, report: Report) -> None:
    """The children of a WorkingDirectory run on one worker: only tasks that a worker can run, and no choice of worker."""
    for task, path in facts.tasks:
        if task.type != _WORKING_DIRECTORY:
            continue
        for index, child in enumerate(task.branches.get("tasks", ())):
            at = (*path, "tasks", index)
            if child.worker_group is not None:
                text = "Cannot set a Worker Group in any WorkingDirectory sub-tasks"
                report.error(at, f"{text}, it is only supported at the WorkingDirectory level")
            declared = facts.registry.task(child.type)
            if declared is not None and not _runs_on_worker(declared):
                report.error(at, f"Only runnable tasks are allowed in a WorkingDirectory, but {child.type} is not one")


def _runs_on_worker(declared: type[Task]) -> bool:
    return not issubclass(declared, FlowableTask) and declared.run not in (Task.run, InlineTask.run)


def trigger_inputs(facts: Facts, report: Report) -> None:
    """Triggers give inputs that exist; a schedule also gives those without which nothing can start."""
    known = {one.id for one in facts.flow.inputs} | {one.id.split(".")[0] for one in facts.flow.inputs}
    needed = [one.id for one in facts.flow.inputs if one.required and not one.has_defaults and one.depends_on is None]
    for trigger, path in facts.triggers:
        for name in trigger.inputs:
            if name not in known and not is_dynamic(name):
                report.warn((*path, "inputs", name), f"the flow has no input `{name}`{nearest(name, known)}")
        if trigger.type.startswith("core.trigger.Schedule") and not trigger.disabled:
            missing = [
                name for name in needed if name.split(".")[0] not in trigger.inputs and name not in trigger.inputs
            ]
            if missing:
                names = ", ".join(f"`{name}`" for name in missing)
                report.warn(path, f"the schedule gives no value for the required inputs {names}: its starts will fail")


def walk(tasks: tuple[model.Task, ...]) -> Iterator[model.Task]:
    """Yield all tasks, parents before their children."""
    pending = list(reversed(tasks))
    while pending:
        task = pending.pop()
        yield task
        pending.extend(child for branch in task.branches.values() for child in branch)


RULES: tuple[Rule, ...] = (
    reserved_id,
    unique_ids,
    dag_dependencies,
    input_dependencies,
    no_recursion,
    working_directories,
    trigger_inputs,
    schedules.check,
    upstream.check,
    expressions.check,
)
