"""The bytes of commands and events as releases have written them: they must be read for ever, and mean the same.

`messages.jsonl` holds one line per shape, and one more for each time that a shape has gained something. A changed shape
fails here; a new one is added with `LEVADA_GOLDEN=write pytest tests/golden`, and the difference of the file is reviewed
like code. Lines are never removed.
"""

import os
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from levada.model import commands, events
from levada.model.execution import Attempt, Origin, Parent, Progress, TaskRun
from levada.model.states import State

FILE = Path(__file__).parent / "messages.jsonl"
AT = 1_700_000_000_000_000
VALUES: dict[str, Any] = {
    "execution_id": "0352THhdqwyL37irOfgU3y",
    "id": "1FTaK2ekCCzUOm6OuHmgSk",
    "task_run_id": "1FTaK2ekCCzUOm6OuHmgSk",
    "parent_id": "7bT37gpVKqcwZYLittHkNQ",
    "child_id": "5VX12ORaKqAxq0juidfBR8",
    "task_id": "task",
    "namespace": "company.team",
    "flow_id": "flow",
    "state": State.SUCCESS,
    "at": AT,
    "kind": "retry",
    "stage": "errors",
    "sla": "late",
    "reason": "the worker was lost",
    "error": "boom",
    "token": "t0k3n",
    "worker": "worker-1",
    "labels": [("system.correlationId", "0352THhdqwyL37irOfgU3y")],
    "variables": {"a": {"b": 1}},
    "inputs": {"n": 1},
    "outputs": {"value": "x"},
    "items": ["a", {"b": 1}],
    "values": {"condition": "true"},
    "trigger": Origin(id="t", type="core.trigger.Webhook", variables={"body": {"x": 1}}),
    "parent": Parent(execution_id="p", task_run_id="r", attempt=2, wait=True, iteration=1),
    "parent_attempt": 2,
    "children": [
        commands.ChildTask(
            key="c", task_id="child", state=State.SUCCESS, history=[(State.SUCCESS, AT)], outputs={"x": 1}
        )
    ],
    "task_runs": [
        TaskRun(
            id="r",
            task_id="task",
            state=State.RUNNING,
            history=[(State.CREATED, AT), (State.RUNNING, AT)],
            attempts=[Attempt(number=1, state=State.RUNNING, history=[(State.RUNNING, AT)], worker="w")],
            attempt=1,
            progress=Progress(stage="main", running=1, next=2, worst={"main": State.WARNING}),
        )
    ],
    "history": [(State.CREATED, AT)],
    "removed": ["r1"],
    "states": [("r2", State.RESTARTED)],
    "containers": ["r3"],
}


def example(shape: type[Any]) -> Any:
    """A message with every field that VALUES knows; numbers are 1, flags stay as they are."""
    given = {}
    for field in msgspec.structs.fields(shape):
        if field.name in VALUES:
            given[field.name] = VALUES[field.name]
        elif field.required:
            given[field.name] = 1
    return shape(**given)


def shapes() -> list[type[Any]]:
    return [*get_args(commands.Command), *get_args(events.Event)]


def golden() -> dict[str, list[bytes]]:
    """The written lines by tag, the oldest first; a shape that has gained a field has one line with it and one without."""
    lines = FILE.read_bytes().splitlines() if FILE.exists() else []
    found: dict[str, list[bytes]] = {}
    for line in lines:
        found.setdefault(msgspec.json.decode(line)["type"], []).append(line)
    return found


def _codec(shape: type[Any]) -> Any:
    return commands if shape in get_args(commands.Command) else events


def _write() -> None:
    """Add what is new; what is there stays."""
    known = golden()
    new = []
    for shape in shapes():
        line = _codec(shape).encode(example(shape))
        if line not in known.get(shape.__struct_config__.tag, []):
            new.append(line)
    with FILE.open("ab") as file:
        file.writelines(line + b"\n" for line in new)


def test_the_file_can_be_written_again() -> None:
    if os.environ.get("LEVADA_GOLDEN") == "write":
        _write()
    assert golden(), "tests/golden/messages.jsonl is missing"


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape.__struct_config__.tag)
def test_what_was_written_is_read_and_written_the_same(shape: type[Any]) -> None:
    lines = golden().get(shape.__struct_config__.tag)
    assert lines, f"{shape.__name__} has no golden line: run with LEVADA_GOLDEN=write and review the file"
    for line in lines:
        read = _codec(shape).decode(line)
        assert type(read) is shape
        assert _codec(shape).encode(read) == line
    assert _codec(shape).decode(lines[-1]) == example(shape)


def test_no_shape_disappeared() -> None:
    assert golden().keys() <= {shape.__struct_config__.tag for shape in shapes()}
