"""Ports with their adapters, for the contract suites: the same tests over memory and over a real Postgres.

A `World` holds one set of adapters over one set of data. `neighbour()` gives a second set over the same data, as another
process would have it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from levada.bus.kafka import BlobMissing, KafkaBus, KafkaSettings
from levada.bus.memory import MemoryBus
from levada.bus.port import Bus
from levada.bus.postgres import PostgresBus
from levada.database import Database
from levada.jobs.memory import MemoryJobs
from levada.jobs.postgres import PostgresJobs
from levada.model.events import Event, ExecutionCreated, ExecutionStateChanged, TaskRunCreated, TaskRunSubmitted
from levada.model.execution import Execution, TaskRun
from levada.model.jobs import Job, JobTask, LogEntry
from levada.model.states import State
from levada.runtime.clock import SystemClock
from levada.runtime.commands import BusCommands
from levada.runtime.doorbell import Doorbell
from levada.store import memory
from levada.store import postgres as pg
from levada.store.port import Commit, ExecutionWrite

PARTITIONS = 4
BUS_CHANNEL = "test_bus"


class MovableClock(SystemClock):
    """The system's clock, shifted by whatever a test says."""

    __slots__ = ("shift_us",)

    def __init__(self) -> None:
        self.shift_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.shift_us

    def pass_s(self, seconds: float) -> None:
        self.shift_us += int(seconds * 1_000_000)


@dataclass
class World:
    clock: MovableClock
    bus: Bus
    jobs: Any
    executions: Any
    flows: Any
    queries: Any
    logs: Any
    metrics: Any
    kv: Any
    members: Any
    ingress: Any
    #: The executor's store where the bus may lose what it holds.
    accepting: Any
    neighbour: Callable[[], Any]
    triggers: Any = None
    deliveries: Any = None
    database: Database | None = None
    closing: list[Callable[[], Any]] = field(default_factory=list)

    async def close(self) -> None:
        for close in reversed(self.closing):
            await close()


def index(execution: Execution) -> None:
    execution.tree = {"built": True}


def memory_world() -> World:
    return _memory(MovableClock(), memory.Tables(), None)


def _memory(clock: MovableClock, tables: memory.Tables, bus: MemoryBus | None) -> World:
    if bus is None:
        bus = MemoryBus(partitions=PARTITIONS, monotonic=clock.monotonic, sleep=clock.sleep, now_us=clock.now_us)

    async def neighbour() -> World:
        return _memory(clock, tables, bus)

    return World(
        clock=clock,
        bus=bus,
        jobs=MemoryJobs(tables.leases, BusCommands(bus), clock, lease_s=10),
        executions=memory.MemoryExecutionStore(tables, now_us=clock.now_us, index=index),
        flows=memory.MemoryFlowStore(tables),
        queries=memory.MemoryExecutionQueries(tables),
        logs=memory.MemoryLogStore(tables),
        metrics=memory.MemoryMetricStore(tables),
        kv=memory.MemoryKvStore(tables),
        triggers=memory.MemoryTriggerStore(tables, now_us=clock.now_us),
        deliveries=memory.MemoryDeliveries(tables),
        members=memory.MemoryMembers(tables, now_us=clock.now_us),
        ingress=memory.MemoryIngress(tables),
        accepting=memory.MemoryExecutionStore(tables, now_us=clock.now_us, index=index, ingress_partitions=PARTITIONS),
        neighbour=neighbour,
    )


async def postgres_world(
    dsn: str,
    *,
    doorbell: bool,
    alone: bool = False,
    clock: MovableClock | None = None,
    kafka: KafkaSettings | None = None,
) -> World:
    """Everything in Postgres; with `kafka` all but the bus."""
    clock = clock if clock is not None else MovableClock()
    database = await Database.open(dsn, size=4)
    closing: list[Callable[[], Any]] = [database.close]
    ring: Callable[[], None] | None = None
    if doorbell:
        bell = Doorbell(database, clock.random_bytes(8).hex())
        closing.append(bell.close)
        ring = _ringer(bell)
    bus: PostgresBus | KafkaBus
    if kafka is not None:
        bus = kafka_bus(kafka, clock)
        await bus.start()
    else:
        bus = PostgresBus(database, now_us=clock.now_us, partitions=PARTITIONS, idle_poll_s=0.1, ring=ring, alone=alone)
        if doorbell:
            bell.on(BUS_CHANNEL, bus.wake)
            bell.start()
    closing.append(bus.close)
    jobs = PostgresJobs(
        database,
        BusCommands(bus),
        now_us=clock.now_us,
        random_bytes=clock.random_bytes,
        lease_s=10,
        idle_poll_s=0.1,
    )
    world = World(
        clock=clock,
        bus=bus,
        jobs=jobs,
        executions=pg.PostgresExecutionStore(
            database, now_us=clock.now_us, index=index, on_withdrawn=jobs.notify_withdrawn
        ),
        flows=pg.PostgresFlowStore(database, alone=alone),
        queries=pg.PostgresExecutionQueries(database),
        logs=pg.PostgresLogStore(database),
        metrics=pg.PostgresMetricStore(database),
        kv=pg.PostgresKvStore(database),
        triggers=pg.PostgresTriggerStore(database, now_us=clock.now_us),
        deliveries=pg.PostgresDeliveries(database),
        members=pg.PostgresMembers(database),
        ingress=pg.PostgresIngress(database),
        accepting=pg.PostgresExecutionStore(database, now_us=clock.now_us, index=index, ingress_partitions=PARTITIONS),
        neighbour=lambda: None,
        database=database,
        closing=closing,
    )

    async def neighbour() -> World:
        other = await postgres_world(dsn, doorbell=doorbell, alone=alone, clock=clock, kafka=kafka)
        closing.append(other.close)
        return other

    world.neighbour = neighbour
    return world


BLOBS: dict[str, bytes] = {}
"""The internal storage of every bus over Kafka here: two of them share it, like two processes."""


class MemoryBlobs:
    """`bus.kafka.BlobStore` in a dictionary."""

    async def put(self, name: str, body: bytes) -> str:
        BLOBS[name] = body
        return name

    async def read(self, reference: str) -> bytes:
        if reference not in BLOBS:
            raise BlobMissing
        return BLOBS[reference]


def kafka_bus(settings: KafkaSettings, clock: MovableClock, **options: Any) -> KafkaBus:
    options = {"partitions": PARTITIONS, "installation": "test", "blobs": MemoryBlobs(), **options}
    return KafkaBus(settings, now_us=clock.now_us, **options)


def _ringer(bell: Doorbell) -> Callable[[], None]:
    return lambda: bell.ring(BUS_CHANNEL)


# --- things to commit


def execution(id: str, *, at: int = 1_000_000, state: State = State.RUNNING, **fields: Any) -> Execution:
    """An execution that was just created and runs, at event 2."""
    return Execution(
        id=id,
        namespace=fields.pop("namespace", "company.team"),
        flow_id=fields.pop("flow_id", "hello"),
        flow_revision=1,
        state=state,
        history=[(State.CREATED, at), (state, at)],
        created=at,
        seq=2,
        **fields,
    )


def created(execution: Execution) -> ExecutionWrite:
    """The first write of an execution, with whatever task runs it has."""
    at = execution.created
    execution.dirty = set(execution.task_runs)
    events: list[Event] = [
        ExecutionCreated(
            at=at, id=execution.id, namespace=execution.namespace, flow_id=execution.flow_id, flow_revision=1
        ),
        ExecutionStateChanged(at=at, state=execution.state),
    ]
    return ExecutionWrite(execution=execution, read_seq=0, events=events)


def add_run(execution: Execution, id: str, state: State = State.SUBMITTED, at: int = 1_000_000) -> TaskRun:
    run = TaskRun(id=id, task_id=id, state=state, history=[(State.CREATED, at)], attempt=1)
    execution.task_runs[id] = run
    execution.dirty.add(id)
    return run


def submitted(execution: Execution, *runs: str, **options: Any) -> ExecutionWrite:
    """The next write of an execution: these task runs are created and queued for workers."""
    before = execution.seq
    execution.dirty.clear()
    events: list[Event] = []
    for id in runs:
        add_run(execution, id)
        events.append(TaskRunCreated(at=execution.created, id=id, task_id=id))
        events.append(TaskRunSubmitted(at=execution.created, id=id, attempt=1))
    execution.seq += len(events)
    jobs = [job(execution, id, **options) for id in runs]
    return ExecutionWrite(execution=execution, read_seq=before, events=events, submitted=jobs)


def changed(
    execution: Execution, *dirty: str, withdrawn: tuple[str, ...] = (), state: State | None = None
) -> ExecutionWrite:
    """The next write of an execution: these of its task runs changed (or are gone)."""
    before = execution.seq
    execution.seq += 1
    if state is not None:
        execution.state = state
        execution.history.append((state, execution.created + before))
    execution.dirty = set(dirty)
    events: list[Event] = [ExecutionStateChanged(at=execution.created, state=execution.state)]
    return ExecutionWrite(execution=execution, read_seq=before, events=events, withdrawn=list(withdrawn))


def job(execution: Execution, run: str, *, attempt: int = 1, **options: Any) -> Job:
    return Job(
        execution_id=execution.id,
        task_run_id=run,
        attempt=attempt,
        namespace=execution.namespace,
        flow_id=execution.flow_id,
        flow_revision=1,
        task=JobTask(id=run, type="core.test"),
        **options,
    )


def line(execution_id: str, message: str, *, at: int, **fields: Any) -> LogEntry:
    return LogEntry(
        execution_id=execution_id,
        namespace=fields.pop("namespace", "company.team"),
        flow_id=fields.pop("flow_id", "hello"),
        level=fields.pop("level", "INFO"),
        message=message,
        at=at,
        **fields,
    )


class Owner:
    """An executor that owns partitions and commits."""

    def __init__(self, store: Any, name: str = "one") -> None:
        self.store = store
        self.name = name
        self.epochs: dict[int, int] = {}
        self.read = 0

    async def own(self, *partitions: int) -> Owner:
        owned = await self.store.own(partitions or range(PARTITIONS), self.name)
        self.epochs = {one.partition: one.epoch for one in owned}
        return self

    async def commit(self, *writes: ExecutionWrite, **parts: Any) -> list[tuple[str, str]]:
        """Commit; return (flow_key, execution id) of those admitted."""
        self.read += 1
        parts.setdefault("positions", {min(self.epochs): self.read})
        admitted: list[tuple[str, str, int]] = await self.store.commit(
            Commit(owned=dict(self.epochs), writes=list(writes), **parts)
        )
        return [(flow_key, execution_id) for flow_key, execution_id, _ in admitted]
