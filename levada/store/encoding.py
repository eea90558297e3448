"""How the model is written into columns: msgspec's JSON as text, plus the few fields that queries need by themselves.

Both directions are here, so that what one release writes the next one can be held to (tests/golden).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from levada.model import commands
from levada.model.commands import Command
from levada.model.events import Event
from levada.model.execution import Execution, ExecutionHead, TaskRun
from levada.model.ids import partition_of
from levada.model.states import State
from levada.store.port import Accepted, OutEntry

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
LEVEL_NUMBERS = {name: number for number, name in enumerate(LEVELS)}

#: Bits of a task run's `n` that count inside one commit; the rest is the execution's seq before it.
_ORDINAL_BITS = 20

_encode = msgspec.json.Encoder().encode
_HEAD_FIELDS = ExecutionHead.__struct_fields__
_head_values = attrgetter(*_HEAD_FIELDS)
_decode_execution = msgspec.json.Decoder(Execution).decode
_decode_head = msgspec.json.Decoder(ExecutionHead).decode
_decode_task_run = msgspec.json.Decoder(TaskRun).decode
_decode_events = msgspec.json.Decoder(list[Event]).decode


def head_of(execution: ExecutionHead) -> ExecutionHead:
    """Return what is stored of an execution: a view that shares its values."""
    return ExecutionHead(**dict(zip(_HEAD_FIELDS, _head_values(execution), strict=True)))


def head_text(execution: ExecutionHead) -> str:
    return _encode(head_of(execution)).decode()


def execution_from(head: str | bytes, task_runs: Iterable[str | bytes]) -> Execution:
    """Return the aggregate with its task runs in the order given, the `tree` not built."""
    execution = _decode_execution(head)
    add_task_runs(execution, task_runs)
    return execution


def add_task_runs(execution: Execution, bodies: Iterable[str | bytes]) -> None:
    for body in bodies:
        run = _decode_task_run(body)
        execution.task_runs[run.id] = run


def head_from(head: str | bytes) -> ExecutionHead:
    return _decode_head(head)


def task_run_text(run: TaskRun) -> str:
    return _encode(run).decode()


def events_text(events: Sequence[Event]) -> str:
    return _encode(events).decode()


def events_from(text: str | bytes) -> list[Event]:
    return _decode_events(text)


def labels_text(labels: Iterable[tuple[str, str]]) -> str:
    return json_text(dict(labels))


def json_text(value: object) -> str:
    """Return JSON for a jsonb column, which can hold every character but NUL."""
    return _encode(value).decode().replace("\\u0000", "\\ufffd")


def clean(text: str) -> str:
    """Return text for a text column, which can hold every character but NUL."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text


def ended(execution: ExecutionHead) -> int | None:
    """Return when a terminal execution ended."""
    return execution.history[-1][1] if execution.state.is_terminal and execution.history else None


def numbered(execution: Execution, read_seq: int) -> dict[str, int]:
    """Return the `n` of the dirty task runs that are new: ascending in order of creation, over commits too.

    New ones are all dirty and last in the map, so the walk from its end stops at the first that is not dirty.
    """
    new = []
    for id in reversed(execution.task_runs):
        if id not in execution.dirty:
            break
        new.append(id)
    first = read_seq << _ORDINAL_BITS
    return {id: first + ordinal for ordinal, id in enumerate(reversed(new))}


def trigger_execution(execution: ExecutionHead) -> str | None:
    """Return the id of the execution that triggered this one (subflow, flow trigger)."""
    if execution.trigger is None:
        return None
    found = execution.trigger.variables.get("executionId")
    return clean(found) if isinstance(found, str) else None


def command_text(command: Command) -> str:
    return commands.encode(command).decode()


def command_from(text: str | bytes) -> Command:
    command: Command = commands.decode(text)
    return command


#: States of a task run in which an attempt may be with a worker; in all others its lease is over.
LEASED = frozenset({State.SUBMITTED, State.RUNNING, State.KILLING})


def waits(state: State) -> bool:
    """Whether an attempt submitted for a task run in this state is still wanted."""
    return not state.is_terminal and state is not State.KILLING


def out_id(partition: int, off: int) -> str:
    """Return the id under which a command of an out log travels."""
    return f"out/{partition}/{off}"


def accepted(entry: OutEntry, partitions: int, now: int) -> Accepted:
    """Return an outgoing command as one that was accepted for the partition it is going to."""
    key = entry.command.execution_id
    body = commands.encode(entry.command)
    return Accepted(out_id(entry.partition, entry.off), partition_of(key, partitions), now, key, body)
