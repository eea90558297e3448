"""Functions that look at the context itself: rendering again, and finding outputs of loops.

Whoever adds one that reads variables declares them (`reads`, or `whole` where they cannot be known), or the executor will
not send them to the worker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from levada.expr import template, values
from levada.expr.access import UNDEFINED, member
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame
from levada.expr.registry import Paths, function
from levada.expr.taint import derive

MAX_ROUNDS: Final = 100
_RAW: Final = re.compile(r"\{%-*\s*raw\s*-*%\}(.*?)\{%-*\s*endraw\s*-*%\}", re.DOTALL)
_LOOP: Final[Paths] = (("parents",), ("taskrun",))


class _Visible(Mapping[str, Any]):
    """The variables together with what the template has assigned, innermost first."""

    def __init__(self, frame: Frame) -> None:
        self._layers = [*reversed(frame.scopes), frame.variables]

    def __getitem__(self, name: str) -> Any:
        for layer in self._layers:
            if name in layer:
                return layer[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({name: None for layer in reversed(self._layers) for name in layer})

    def __len__(self) -> int:
        return len({name for layer in self._layers for name in layer})


def _render(frame: Frame, value: Any, *, recursive: bool) -> Any:
    """Render the texts inside a value, once or until nothing changes any more."""
    if isinstance(value, str):
        return derive(_render_text(frame, value, recursive=recursive), (value,))
    if isinstance(value, Mapping):
        with frame.deeper():
            return {
                _render(frame, key, recursive=recursive): _render(frame, item, recursive=recursive)
                for key, item in value.items()
            }
    if isinstance(value, list | tuple | set):
        with frame.deeper():
            return [_render(frame, item, recursive=recursive) for item in value]
    return value


def _render_text(frame: Frame, text: str, *, recursive: bool) -> str:
    with frame.nested() as inner:
        if frame.scopes:
            inner.variables = _Visible(frame)
        # Raw blocks keep their tags from round to round and lose them at the end.
        inner.keeps_raw = recursive
        for _ in range(MAX_ROUNDS if recursive else 1):
            inner.charge(1)
            compiled = template.compile(text)
            rendered = text if compiled.is_static else derive(compiled.render_in(inner), (text,))
            if rendered == text or not recursive:
                return derive(_RAW.sub(r"\1", rendered), (rendered,)) if recursive else rendered
            text = rendered
    raise ExpressionError("Too many rendering attempts: the text still changes after 100 rounds")


@function("render", whole=True)
def render(frame: Frame, template: Any, recursive: Any = True) -> Any:
    """A text, or all texts of a map or list, rendered; what comes out is rendered again unless `recursive=false`."""
    if not isinstance(recursive, bool):
        raise ExpressionError(f"`recursive` must be true or false, not a {values.type_name(recursive)}")
    return _render(frame, template, recursive=recursive)


@function("renderOnce", whole=True)
def render_once(frame: Frame, template: Any) -> Any:
    """A text, or all texts of a map or list, rendered once."""
    return _render(frame, template, recursive=False)


def _context(frame: Frame) -> dict[str, Any]:
    return dict(_Visible(frame))


@function("fetchContext", whole=True)
def fetch_context(frame: Frame) -> dict[str, Any]:
    """All variables."""
    return _context(frame)


@function("printContext", whole=True)
def print_context(frame: Frame) -> dict[str, Any]:
    """All variables; the older name of fetchContext."""
    return _context(frame)


@function("env", reads=(("envs",),), taint="keep")
def env(frame: Frame, name: Any, default: Any = None) -> Any:
    """An environment variable that the server exposes, or the default where it is missing or empty."""
    found = member(_variable(frame, "envs"), values.plain_text(name, "`name`"))
    return default if found is UNDEFINED or found is None or found == "" else found


def _variable(frame: Frame, name: str) -> Any:
    if name in frame.variables:
        return frame.variables[name]
    return None


def _value_of(owner: Any) -> Any:
    """Return `taskrun.value` of a parent or of the context, None where there is none."""
    taskrun = member(owner, "taskrun")
    if taskrun is UNDEFINED or taskrun is None:
        return None
    found = member(taskrun, "value")
    return None if found is UNDEFINED else found


def _through_parents(frame: Frame, outputs: Any) -> Any:
    """Follow the values of the loops around this task, outermost first."""
    for parent in reversed(_variable(frame, "parents") or []):
        if member(parent, "taskrun") is UNDEFINED:
            continue
        outputs = member(outputs, _value_of(parent))
        if outputs is UNDEFINED or outputs is None:
            return None
    return outputs


@function("currentEachOutput", reads=_LOOP, taint="keep")
def current_each_output(frame: Frame, outputs: Any) -> Any:
    """The outputs that a sibling task had for the present value of all the loops around it."""
    if not isinstance(outputs, Mapping):
        raise ExpressionError(f"`outputs` must be the outputs of a task, not a {values.type_name(outputs)}")
    found = _through_parents(frame, outputs)
    if found is None:
        raise ExpressionError("No execution outputs for the current task runs path")
    found = member(found, _value_of(frame.variables))
    return None if found is UNDEFINED else found


@function("iterationOutput", reads=(*_LOOP, ("outputs",), ("task",)), taint="keep")
def iteration_output(frame: Frame, taskId: Any = None, iteration: Any = None) -> Any:
    """The output `value` of a task in an iteration of the loop: this task and the iteration before where none is given."""
    current = member(_variable(frame, "taskrun"), "iteration")
    if current is UNDEFINED or current is None:
        raise ExpressionError("`iterationOutput` works only inside of a loop")
    task = member(_variable(frame, "task"), "id") if taskId is None else values.plain_text(taskId, "`taskId`")
    index = values.whole_number(current, "taskrun.iteration") - 1
    if iteration is not None:
        index = values.whole_number(iteration, "`iteration`")
    if index < 0:
        raise ExpressionError(f"Cannot fetch iteration {index}: no previous iteration exists")
    found = member(_variable(frame, "outputs"), task)
    found = None if found is UNDEFINED or found is None else _through_parents(frame, found)
    if found is None:
        return None
    if not isinstance(found, Mapping) or index >= len(found):
        raise ExpressionError(f"iteration {index} has no outputs yet")
    result = member(found[list(found)[index]], "value")
    return None if result is UNDEFINED else result


@function("parentOutput", reads=(("parent",), ("parents",), ("outputs",)), taint="keep")
def parent_output(frame: Frame, index: Any = None) -> Any:
    """The outputs of the task around this one, or of the one at `index`, counted from the outermost as 0."""
    parent = _variable(frame, "parent")
    if index is not None:
        parents = list(_variable(frame, "parents") or [])[::-1]
        at = values.whole_number(index, "`index`")
        if not 0 <= at < len(parents):
            raise ExpressionError(f"Invalid index: {at} for parents size: {len(parents)}")
        parent = parents[at]
    task = member(parent, "task")
    found = member(_variable(frame, "outputs"), member(task, "id")) if task is not UNDEFINED else UNDEFINED
    value = _value_of(parent)
    if found is not UNDEFINED and value is not None:
        found = member(found, value)
    return None if found is UNDEFINED else found


@function("loopOutputs", taint="keep")
def loop_outputs(outputs: Any, name: Any) -> list[Any]:
    """One output of every iteration of a Loop: loopOutputs(outputs.myLoop.outputs, 'name')."""
    key = values.plain_text(name, "`name`")
    found = [member(member(item, "outputs"), key) for item in values.items_of(outputs, "`outputs`")]
    return [None if item is UNDEFINED else item for item in found]


@function("tasksWithState", reads=(("tasks",),))
def tasks_with_state(frame: Frame, state: Any) -> list[dict[str, Any]]:
    """The tasks in a state: taskId, state, and value inside of loops."""
    wanted = values.plain_text(state, "`state`").upper()
    found: list[dict[str, Any]] = []
    tasks = _variable(frame, "tasks")
    for task_id in tasks if isinstance(tasks, Mapping) else ():
        details = tasks[task_id]
        if not isinstance(details, Mapping):
            continue
        frame.charge(1 + len(details))
        for key in details:
            item = details[key]
            shown = item if key == "state" and isinstance(item, str) else member(item, "state")
            if isinstance(shown, str) and shown.upper() == wanted:
                value = {} if shown is item else {"value": key}
                found.append({"taskId": task_id, "state": wanted, **value})
    return found
