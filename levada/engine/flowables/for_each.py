"""ForEach, Loop and the older EachSequential and EachParallel: the same tasks for every value, in *lanes*.

Each iteration is a lane: its tasks run one after the other; at most `concurrencyLimit` lanes run at once. Only counters
are kept (iterations started, children running), so iteration 10,000 costs what iteration 10 does. A lane goes on from
the child that just ended; a new lane starts when one is through. With one lane at a time the first failure stops the
loop; side by side the others go on.
"""

import json
from typing import Any

import msgspec

from levada.engine.flowables.flowable import Child, Flowable, next_enabled, number, worst_of
from levada.engine.plan import Node
from levada.engine.turn import Turn
from levada.model.errors import UserError
from levada.model.events import ItemsResolved
from levada.model.execution import TaskRun
from levada.model.states import State


class _Lanes(Flowable):
    property_name = "values"

    def open(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        if run.items is None:
            conditions = run.conditions or {}
            if self.property_name in conditions:
                raw = conditions[self.property_name]
            else:
                raw = turn.render(node.task.properties.get(self.property_name), run, node)
            items, keys = values_of(raw, self.property_name)
            if len(items) > turn.env.max_iterations:
                raise UserError(
                    f"`{self.property_name}` has {len(items)} values; the limit is {turn.env.max_iterations}"
                )
            turn.emit(ItemsResolved(at=turn.now, id=run.id, items=items, keys=keys))
        return True

    def limit(self, turn: Turn, run: TaskRun, node: Node) -> int:
        """How many lanes run at once; 0: no limit. Raises UserError for a wrong property."""
        raise NotImplementedError(type(self).__name__)

    def children(self, turn: Turn, run: TaskRun, node: Node, ended: TaskRun | None) -> list[Child]:
        progress, items = run.progress, run.items
        assert progress is not None
        assert items is not None
        tasks = self.branch(run, node)[1]
        limit = self.limit(turn, run, node)
        out: list[Child] = []
        if ended is not None and ended.branch == "tasks" and not ended.state.is_failed:
            following = next_enabled(tasks, ended.index + 1)
            if following is not None:
                out.append(Child(tasks[following], following, ended.value, ended.iteration))
        first = next_enabled(tasks, 0)
        worst = progress.worst.get("main")
        if first is None or (limit == 1 and worst is not None and worst.is_failed):
            return out
        iteration = progress.next
        while iteration < len(items) and (limit == 0 or progress.running + len(out) < limit):
            if turn.started + len(out) >= turn.env.turn_budget:
                turn.defer(run.id)
                break
            out.append(Child(tasks[first], first, text_of(items[iteration]), iteration))
            iteration += 1
        return out


class ForEach(_Lanes):
    def limit(self, turn: Turn, run: TaskRun, node: Node) -> int:
        return number(node.task.properties.get("concurrencyLimit"), "concurrencyLimit", 1)


class EachSequential(_Lanes):
    property_name = "value"

    def limit(self, turn: Turn, run: TaskRun, node: Node) -> int:
        return 1


class EachParallel(_Lanes):
    property_name = "value"

    def limit(self, turn: Turn, run: TaskRun, node: Node) -> int:
        return number(node.task.properties.get("concurrent"), "concurrent", 0)


class Loop(_Lanes):
    """2.0: iterations see `item`, their outputs are collected through `outputs`, and `transmitFailed` decides."""

    def limit(self, turn: Turn, run: TaskRun, node: Node) -> int:
        return number(node.task.properties.get("concurrencyLimit"), "concurrencyLimit", 1)

    def close(self, turn: Turn, run: TaskRun, node: Node) -> tuple[State, dict[str, Any] | None]:
        assert run.progress is not None
        state = worst_of(run.progress)
        if state is State.FAILED and node.task.properties.get("transmitFailed") is False:
            state = State.SUCCESS
        outputs: dict[str, Any] = {"iterationCount": run.progress.next}
        declared = node.task.properties.get("outputs")
        if declared:
            outputs["outputs"] = self._collect(turn, run, node, declared)
        return state, outputs

    def _collect(self, turn: Turn, run: TaskRun, node: Node, declared: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Evaluate the declared outputs once per iteration, seen from its last task run."""
        last: dict[int, TaskRun] = {}
        for child in turn.execution.task_runs.values():
            if child.parent_id == run.id and child.branch == "tasks" and child.iteration is not None:
                last[child.iteration] = child
        collected = []
        for iteration, child in sorted(last.items()):
            assert run.items is not None
            item: dict[str, Any] = {"value": run.items[iteration], "iteration": iteration}
            if run.item_keys is not None:
                item["key"] = run.item_keys[iteration]
            values = {d["id"]: turn.render(d.get("value"), child) for d in declared}
            collected.append({"item": item, "outputs": values})
        return collected


def values_of(raw: Any, name: str) -> tuple[list[Any], list[str] | None]:
    """Return the items (and keys, for a map) that a rendered `values` property gives.

    A text is read as JSON. Null items are refused, as in Kestra. Raises UserError.
    """
    value = raw
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as e:
            shown = raw if len(raw) <= 200 else raw[:200] + "…"
            raise UserError(f"`{name}` must be a list, a map or their JSON text, but is `{shown}`") from e
    if isinstance(value, dict):
        return list(value.values()), [str(key) for key in value]
    if not isinstance(value, list | tuple):
        raise UserError(f"`{name}` must be a list or a map, but is `{value}`")
    if any(item is None for item in value):
        raise UserError(f"Found a null value in `{name}`: every value of a loop must be given")
    return list(value), None


def text_of(item: Any) -> str:
    """Return a loop value as `taskrun.value` shows it: text as it is, everything else as JSON."""
    if isinstance(item, str):
        return item
    return msgspec.json.encode(item).decode()
