"""Reads the tables of an installation and says what in them breaks the promises.

The promises that hold whatever was killed: an acknowledged execution is there and ends; no turn is missing or double in its
history; folding the history gives the stored state; nothing was committed and never sent; an attempt number is used once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from levada.engine import outputs
from levada.engine.evolve import evolve
from levada.model.execution import Execution
from levada.store import encoding
from levada.store.embedded import cluster


def dsn(data: Path) -> str:
    """Return the address of the embedded Postgres that runs on a data folder."""
    return cluster.dsn(cluster.socket_dir(cluster.Home(data.resolve() / "postgres")))


def fetch(data: Path, sql: str, *arguments: Any) -> list[Any]:
    """Run one statement in the running Postgres of an installation."""

    async def ask() -> list[Any]:
        connection = await asyncpg.connect(dsn(data), timeout=30)
        try:
            rows: list[Any] = await connection.fetch(sql, *arguments)
            return rows
        finally:
            await connection.close(timeout=10)

    return asyncio.run(ask())


def broken_promises(data: Path, acknowledged: Iterable[str]) -> list[str]:
    """Return everything wrong with the executions of an installation that is quiet now."""
    heads = dict(fetch(data, "SELECT id, head FROM execution"))
    runs = fetch(data, "SELECT execution_id, body FROM task_run ORDER BY execution_id, n")
    turns = fetch(data, "SELECT execution_id, seq, events FROM execution_event ORDER BY execution_id, seq")
    found = [f"{id_} was acknowledged and is lost" for id_ in acknowledged if id_ not in heads]
    for id_, head in heads.items():
        bodies = [body for execution_id, body in runs if execution_id == id_]
        own = [(seq, encoding.events_from(events)) for execution_id, seq, events in turns if execution_id == id_]
        found += [f"{id_}: {problem}" for problem in _wrong(encoding.execution_from(head, bodies), own)]
    found += _unsent(data)
    return found


def _wrong(stored: Execution, turns: list[tuple[int, list[Any]]]) -> list[str]:
    problems = []
    if not stored.is_terminal:
        problems.append(f"is still {stored.state}")
    problems += [
        f"task run {run.id} is still {run.state}" for run in stored.task_runs.values() if not run.state.is_terminal
    ]
    for run in stored.task_runs.values():
        numbers = [attempt.number for attempt in run.attempts]
        if numbers != sorted(set(numbers)):
            problems.append(f"task run {run.id} has the attempts {numbers}")
    expected, folded = 1, None
    for seq, events in turns:
        if seq != expected:
            problems.append(f"event {expected} is followed by {seq}")
        expected = seq + len(events)
        for event in events:
            folded = evolve(folded, event)
    if stored.seq != expected - 1:
        problems.append(f"says seq {stored.seq}, its history ends with {expected - 1}")
    if folded is None:
        return [*problems, "has no history"]
    problems += _differences(folded, stored)
    return problems


def _differences(folded: Execution, stored: Execution) -> list[str]:
    outputs.rebuild(folded)
    outputs.rebuild(stored)
    one, other = msgspec.to_builtins(folded), msgspec.to_builtins(stored)
    for view in (one, other):
        view.pop("dirty", None)
    return [
        f"`{name}` of its history is {one.get(name)!r}, stored is {other.get(name)!r}"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def _unsent(data: Path) -> list[str]:
    """What was committed to be sent must be on the bus: its natural key is found there."""
    rows = fetch(
        data,
        "SELECT part || '/' || off FROM out_log o WHERE NOT EXISTS"
        " (SELECT 1 FROM bus_log b WHERE b.id = 'out/' || o.part || '/' || o.off)",
    )
    return [f"the committed command {row[0]} was never sent" for row in rows]
