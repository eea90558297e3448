"""The rows that the stores in memory share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from levada.model.audit import AuditEntry
from levada.model.jobs import LogEntry, MetricEntry
from levada.store.memory.trigger_tables import TriggerTables
from levada.store.port import Accepted, DeadLetter, DueTimer, FlowRow, KvRow, OutEntry
from levada.store.records import Count


@dataclass(slots=True)
class Owner:
    epoch: int = 0
    owner: str = ""
    done_off: int = 0
    out_next: int = 0
    relay_off: int = 0
    #: When it was given back.
    freed: int | None = None


@dataclass(slots=True)
class Lease:
    """The lease columns of a task run: see jobs/postgres.py for `state`."""

    state: str
    job: bytes
    queue: str
    priority: int
    attempt: int
    submitted: int
    worker: str | None = None
    token: str | None = None
    until: int = 0


@dataclass(slots=True)
class TaskRow:
    n: int
    body: str


@dataclass(slots=True)
class Slot:
    holds: bool
    at: int


@dataclass(slots=True)
class Timer:
    due: DueTimer
    partition: int = 0
    fired: bool = False


@dataclass(slots=True)
class Tables:
    heads: dict[str, str] = field(default_factory=dict)
    seqs: dict[str, int] = field(default_factory=dict)
    task_runs: dict[str, dict[str, TaskRow]] = field(default_factory=dict)
    leases: dict[tuple[str, str], Lease] = field(default_factory=dict)
    #: Turns in order: the number of the first event, and the events.
    events: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    timers: dict[tuple[str, int, str], Timer] = field(default_factory=dict)
    slots: dict[str, dict[str, Slot]] = field(default_factory=dict)
    #: Of the topic `commands`; those of other topics are in `other_owners`.
    owners: dict[int, Owner] = field(default_factory=dict)
    other_owners: dict[str, dict[int, Owner]] = field(default_factory=dict)
    members: dict[tuple[str, str], Any] = field(default_factory=dict)
    ingress: dict[str, Accepted] = field(default_factory=dict)
    out: dict[int, list[OutEntry]] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    logs: list[LogEntry] = field(default_factory=list)
    metrics: list[MetricEntry] = field(default_factory=list)
    flows: dict[tuple[str, str, str], dict[int, FlowRow]] = field(default_factory=dict)
    kv: dict[tuple[str, str, str], KvRow] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    #: By tenant and minute, as in `execution_count_minute`, and which of them may be wrong.
    counts: dict[tuple[str, int], list[Count]] = field(default_factory=dict)
    marks: set[tuple[str, int]] = field(default_factory=set)
    triggers: TriggerTables = field(default_factory=TriggerTables)

    def owners_of(self, topic: str) -> dict[int, Owner]:
        return self.owners if topic == "commands" else self.other_owners.setdefault(topic, {})

    def owned_by_topic(self) -> Iterable[dict[int, Owner]]:
        return (self.owners, *self.other_owners.values())
