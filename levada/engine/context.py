"""The variables that expressions read: `flow`, `execution`, `inputs`, `outputs`, `taskrun` … (Kestra's names).

`base` holds what is the same for the whole execution, `of_run` adds what belongs to one task run. Nothing here is
rendered; `vars` are the flow's variables under the execution's own.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from levada.engine.environment import Environment
from levada.engine.outputs import values_of
from levada.engine.plan import Node, Plan
from levada.model.errors import UserError
from levada.model.execution import Execution, TaskRun
from levada.model.states import State

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOOPS = frozenset({"core.flow.Loop", "core.flow.ForEach", "core.flow.EachSequential", "core.flow.EachParallel"})


def moment(us: int) -> datetime:
    """Return an aware UTC datetime of epoch microseconds."""
    return _EPOCH + timedelta(microseconds=us)


def iso(us: int) -> str:
    """Return `2026-01-31T10:20:30.123456Z`."""
    return moment(us).isoformat(timespec="microseconds").replace("+00:00", "Z")


class PureHost:
    """Time and identifiers for expressions that the executor evaluates: the same command gives the same values."""

    __slots__ = ("_count", "_now", "_seed")

    def __init__(self, now_us: int, seed: str) -> None:
        self._now = now_us
        self._seed = seed
        self._count = 0

    def now(self) -> datetime:
        return moment(self._now)

    def random_bytes(self, n: int) -> bytes:
        out = b""
        while len(out) < n:
            self._count += 1
            out += hashlib.blake2b(f"{self._seed}/{self._count}".encode()).digest()
        return out[:n]

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        raise UserError(f"function `{name}` needs a service and can not be used here")


class Siblings(Mapping[str, Any]):
    """Outputs of a task seen from inside the same iteration: direct, and still by loop value."""

    __slots__ = ("_all", "_own")

    def __init__(self, own: Mapping[str, Any], all_: Mapping[str, Any]) -> None:
        self._own = own
        self._all = all_

    def __getitem__(self, key: str) -> Any:
        if key in self._own:
            return self._own[key]
        return self._all[key]

    def __contains__(self, key: object) -> bool:
        return key in self._own or key in self._all

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (key for key in self._all if key not in self._own)

    def __len__(self) -> int:
        return len(self._own) + sum(1 for key in self._all if key not in self._own)


def nested(labels: list[tuple[str, str]]) -> dict[str, Any]:
    """Return labels as a tree: `system.correlationId` is read as `labels.system.correlationId`."""
    tree: dict[str, Any] = {}
    for key, value in labels:
        node = tree
        *path, last = key.split(".")
        for part in path:
            below = node.get(part)
            if not isinstance(below, dict):
                below = node[part] = {}
            node = below
        node[last] = value
    return tree


def base(x: Execution, plan: Plan, env: Environment) -> dict[str, Any]:
    """The variables that do not depend on a task run. `outputs` is the live tree: read it before the next event."""
    flow = plan.flow
    execution: dict[str, Any] = {"id": x.id, "startDate": iso(x.created), "state": x.state.value}
    if x.original_id is not None:
        execution["originalId"] = x.original_id
    if x.outputs is not None:
        execution["outputs"] = x.outputs
    variables: dict[str, Any] = {
        "flow": {"id": flow.id, "namespace": flow.namespace, "revision": x.flow_revision, "tenantId": x.tenant},
        "execution": execution,
        "inputs": env.decrypt(x.inputs) if x.inputs else {},
        "outputs": x.tree,
        "labels": nested(x.labels),
        "vars": {**flow.variables, **x.variables} if x.variables else flow.variables,
        "globals": env.globals,
        "envs": env.envs,
        "kestra": env.kestra,
        "namespace": {"id": flow.namespace},
    }
    if x.trigger is not None:
        variables["trigger"] = x.trigger.variables
    if x.trace_parent is not None:
        variables["trace"] = {"parent": x.trace_parent}
    return variables


def of_run(shared: dict[str, Any], x: Execution, plan: Plan, run: TaskRun, node: Node) -> dict[str, Any]:
    """The variables of one task run: `shared` (from `base`) with task, taskrun, parents, and loop items."""
    taskrun: dict[str, Any] = {
        "id": run.id,
        "startDate": iso(run.history[0][1]),
        "attemptsCount": sum(
            attempt.state.is_terminal or attempt.state is State.RESUBMITTED for attempt in run.attempts
        ),
    }
    if run.parent_id is not None:
        taskrun["parentId"] = run.parent_id
    if run.value is not None:
        taskrun["value"] = run.value
    if run.iteration is not None:
        taskrun["iteration"] = run.iteration
    variables = {**shared, "task": {"id": node.task.id, "type": _full(node.task.type)}, "taskrun": taskrun}
    if run.parent_id is not None:
        _add_parents(variables, x, plan, run)
    return variables


def _add_parents(variables: dict[str, Any], x: Execution, plan: Plan, run: TaskRun) -> None:
    parents = []
    items = []
    inner = run
    overlay: dict[str, Any] = {}
    for ancestor in x.ancestors(run):
        if ancestor.value is not None or ancestor.outputs is not None:
            parents.append(_parent(ancestor))
        node = plan.nodes.get(ancestor.task_id)
        if node is not None and node.task.type in LOOPS and inner.iteration is not None:
            items.append(_item(ancestor, inner.iteration))
            _overlay_iteration(overlay, x, node, inner)
        inner = ancestor
    if parents:
        variables["parents"] = parents
        variables["parent"] = parents[0]
    if items:
        item = items[0]
        if len(items) > 1:
            item = {**item, "parent": items[1], "parents": items[1:]}
        variables["item"] = item
    if overlay:
        variables["outputs"] = {**x.tree, **overlay}


def _parent(run: TaskRun) -> dict[str, Any]:
    """A container as its children see it; those with neither value nor outputs are passed over, as in Kestra."""
    seen: dict[str, Any] = {}
    if run.value is not None:
        seen["taskrun"] = {"id": run.id, "value": run.value}
        if run.iteration is not None:
            seen["taskrun"]["iteration"] = run.iteration
    if run.outputs is not None:
        seen["outputs"] = run.outputs
    return seen


def _item(loop: TaskRun, iteration: int) -> dict[str, Any]:
    assert loop.items is not None
    item: dict[str, Any] = {"value": loop.items[iteration], "index": iteration}
    if loop.item_keys is not None:
        item["key"] = loop.item_keys[iteration]
    return item


def _overlay_iteration(overlay: dict[str, Any], x: Execution, loop: Node, inner: TaskRun) -> None:
    path = values_of(x, inner)
    for task_id in _descendants(loop):
        if task_id in overlay:
            continue
        everything = x.tree.get(task_id)
        own: Any = everything
        for value in path:
            own = own.get(value) if isinstance(own, dict) else None
        if isinstance(own, dict) and isinstance(everything, dict):
            overlay[task_id] = Siblings(own, everything)


def _descendants(node: Node) -> list[str]:
    found: list[str] = []
    stack = [child for tasks in node.task.branches.values() for child in tasks]
    while stack:
        task = stack.pop()
        found.append(task.id)
        stack.extend(child for tasks in task.branches.values() for child in tasks)
    return found


def opened_texts(stored: Any, opened: Any) -> list[str]:
    """Return the texts that are sealed in `stored` (a map) and open in `opened`."""
    if isinstance(stored, dict) and isinstance(opened, str):
        return [opened] if opened else []
    if isinstance(stored, dict) and isinstance(opened, dict):
        return [text for key in stored.keys() & opened.keys() for text in opened_texts(stored[key], opened[key])]
    return []


def task_states(x: Execution) -> dict[str, Any]:
    """The `tasks` variable: `tasks.<id>.state`, in loops `tasks.<id>.<value>.state`; of the last task run there."""
    states: dict[str, Any] = {}
    for run in x.task_runs.values():
        place = states.setdefault(run.task_id, {})
        if values := values_of(x, run):
            place = place.setdefault(values[-1], {})
        place["state"] = run.state.value
    return states


def _full(type_: str) -> str:
    return f"io.kestra.plugin.{type_}" if not type_.startswith("io.kestra.") else type_
