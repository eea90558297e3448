"""Everything the oracle may look at, as plain data: what clients were told, what tasks wrote down, what the tables hold.

`read` takes the tables of a Postgres that nobody uses any more. Nothing of the product's code is asked; its schema is all
that is known here.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from reliability.records import Ack, Fault, Run

MICRO = 1e-6


@dataclass
class Stored:
    """One execution as the tables have it. Times are epoch seconds; events and bodies are JSON as stored."""

    id: str
    namespace: str
    flow: str
    state: str
    seq: int
    created: float
    ended: float | None
    head: str
    #: (number of the first event, JSON array) per turn.
    turns: list[tuple[int, str]] = field(default_factory=list)
    task_runs: list[str] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for _, text in self.turns for event in json.loads(text)]


@dataclass
class Tables:
    executions: dict[str, Stored] = field(default_factory=dict)
    #: What is left over after everything has come to rest, each with words of its own.
    leases: list[str] = field(default_factory=list)
    timers: list[str] = field(default_factory=list)
    slots: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    ingress: list[str] = field(default_factory=list)
    #: (topic, key, reason) of every dead letter.
    dead: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Outside:
    """What can be seen from outside once all is quiet."""

    #: What the api says there is, by name, and what the tables say.
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: Processes, files and folders that nobody owns.
    leftovers: list[str] = field(default_factory=list)
    #: Places that show the value of a secret.
    leaks: list[str] = field(default_factory=list)


@dataclass
class Ticks:
    """A schedule under test: it fires every `every_s` seconds on the second, from `since` to `until` (epoch seconds)."""

    flow: str
    every_s: int
    since: int
    until: int


@dataclass
class History:
    acks: list[Ack] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    tables: Tables = field(default_factory=Tables)
    outside: Outside = field(default_factory=Outside)
    ticks: list[Ticks] = field(default_factory=list)
    #: Which process of the fleet goes by which worker's name.
    workers: dict[str, str] = field(default_factory=dict)
    #: How long after a fault its consequences may begin: the lease, and what it takes to notice.
    patience_s: float = 20.0
    #: Lines of the ledger that nobody can have written.
    strange: list[str] = field(default_factory=list)


def read(dsn: str) -> Tables:
    """Read the tables of an installation that is quiet now. Raises OSError or asyncpg's errors when it is away."""
    return asyncio.run(_read(dsn))


async def _read(dsn: str) -> Tables:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            tables = Tables()
            await _read_executions(connection, tables)
            await _read_leftovers(connection, tables)
            return tables
    finally:
        await connection.close(timeout=10)


async def _read_executions(connection: Any, tables: Tables) -> None:
    rows = await connection.fetch("SELECT id, namespace, flow_id, state, seq, created, ended, head FROM execution")
    for id_, namespace, flow, state, seq, created, ended, head in rows:
        tables.executions[id_] = Stored(
            id_, namespace, flow, state, seq, created * MICRO, None if ended is None else ended * MICRO, head
        )
    turns: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for id_, seq, events in await connection.fetch(
        "SELECT execution_id, seq, events FROM execution_event ORDER BY execution_id, seq"
    ):
        turns[id_].append((seq, events))
    bodies: dict[str, list[str]] = defaultdict(list)
    for id_, body in await connection.fetch("SELECT execution_id, body FROM task_run ORDER BY execution_id, n"):
        bodies[id_].append(body)
    for id_, stored in tables.executions.items():
        stored.turns, stored.task_runs = turns.pop(id_, []), bodies.pop(id_, [])
    for id_ in turns.keys() | bodies.keys():
        tables.unread.append(f"rows of {id_}, which is no execution")


#: What must be empty when all is quiet: words for each row that is left.
LEFT: dict[str, str] = {
    "leases": "SELECT execution_id || ' ' || id || ' is ' || lease || ', attempt ' || attempt FROM task_run"
    " WHERE lease IS NOT NULL",
    "timers": "SELECT t.execution_id || ' ' || t.kind || '/' || t.seq FROM timer t JOIN execution x ON x.id = t.execution_id"
    " WHERE NOT t.fired AND x.ended IS NULL",
    "slots": "SELECT flow_key || ' ' || execution_id || CASE WHEN holds THEN ' holds' ELSE ' waits' END"
    " FROM concurrency_slot",
    "unsent": "SELECT part || ': ' || (out_next - relay_off) || ' commands' FROM bus_owner WHERE relay_off < out_next",
    "ingress": "SELECT id || ' for ' || key FROM ingress",
}

#: Dates of schedules that have been fired and whose execution is on its way.
UNBORN = (
    "SELECT f.uid || ' at ' || f.slot FROM trigger_fire f LEFT JOIN execution x ON x.id = f.execution_id"
    " WHERE x.id IS NULL"
)

#: Where the bus is in this database: partitions that are not read to their end.
UNREAD = (
    "SELECT o.part || ' is read up to ' || o.done_off || ' of ' || h.next_off FROM bus_owner o"
    " JOIN bus_head h USING (topic, part) WHERE o.topic = 'commands' AND o.done_off <> h.next_off"
)


async def _read_leftovers(connection: Any, tables: Tables) -> None:
    for name, sql in LEFT.items():
        setattr(tables, name, [text for (text,) in await connection.fetch(sql)])
    tables.unread += [text for (text,) in await connection.fetch(UNREAD)]
    dead = await connection.fetch("SELECT topic, key, reason FROM dead_letter ORDER BY id")
    tables.dead = [(topic, key, reason) for topic, key, reason in dead]


def fetch(dsn: str, sql: str, *arguments: Any) -> list[Any]:
    """Run one statement."""

    async def ask() -> list[Any]:
        connection = await asyncpg.connect(dsn, timeout=30)
        try:
            rows: list[Any] = await connection.fetch(sql, *arguments)
            return rows
        finally:
            await connection.close(timeout=10)

    return asyncio.run(ask())


def settled(dsn: str, acknowledged: Sequence[str]) -> str | None:
    """Return None when nothing is left to do for what was acknowledged, else what is still under way."""
    live, known = fetch(
        dsn,
        "SELECT count(*) FILTER (WHERE ended IS NULL), count(*) FILTER (WHERE id = ANY ($1)) FROM execution",
        list(acknowledged),
    )[0]
    wanted = len(set(acknowledged))
    if live:
        return f"{live} executions have not ended"
    if known != wanted:
        return f"{wanted - known} of {wanted} acknowledged executions are not there"
    for name, sql in (*LEFT.items(), ("fired", UNBORN)):
        left = fetch(dsn, sql)
        if left:
            return f"{name}: {left[0][0]} and {len(left) - 1} more"
    return None
