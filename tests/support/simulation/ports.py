"""The ports of one simulated process: the product's memory adapters, with the seed's faults around every call.

A call may fail before it happened, fail after it happened (the caller can not tell which), be slow, be cut off, or be the
place where its process is frozen or killed. What an adapter does in one transaction stays one step; where the real adapter
commits before it sends (a claim and its `TaskStarted`, a lost lease and its `WorkerLost`) there are faults in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from levada.bus.port import Outgoing, Record
from levada.model import commands as cmd
from levada.model.errors import Transient
from levada.model.jobs import Claim, Held, LogEntry, MetricEntry
from levada.store.members import Member, Ownership
from levada.store.port import Accepted, Commit, DueTimer, OutEntry
from levada_executor.flows import Flows, Key
from simulation.faults import draw_fate
from simulation.loop import PROCESS, Process

if TYPE_CHECKING:
    from simulation.world import World

T = TypeVar("T")


class Line:
    """A process's only way out. `immortal` processes (users) are not killed or frozen by their calls."""

    def __init__(self, world: World, process: Process, *, immortal: bool = False) -> None:
        self.world = world
        self.process = process
        self.immortal = immortal

    async def call(self, op: str, act: Callable[[], Awaitable[T]]) -> T:
        world, process = self.world, self.process
        await self._reach(op)
        fate = draw_fate(world.chance, world.climate)
        kind = "" if self.immortal and not fate.kind.startswith("fail") else fate.kind
        if kind:
            world.trace(process.name, op, kind)
        await process.loop.passing(fate.before_s)
        await self._suffer(op, kind, "before")
        result = await act()
        if world.quiet:
            return result  # nothing happens to anybody any more: there is no moment to be caught in
        await process.loop.passing(fate.after_s)
        await self._suffer(op, kind, "after")
        return result

    async def _reach(self, op: str) -> None:
        self.process.check()
        if self.process.cut_until > self.process.loop.time():
            await asyncio.sleep(0.1 + self.world.chance.random())
            raise Transient(f"{self.process.name} is cut off and can not {op}")

    async def _suffer(self, op: str, kind: str, when: str) -> None:
        process = self.process
        if kind == f"crash_{when}":
            process.kill()
            await asyncio.sleep(0)
        elif kind == f"freeze_{when}":
            self.world.freeze(process)
            await asyncio.sleep(0)
        await self._reach(op)
        if kind == f"fail_{when}":
            raise Transient(f"{op} failed {when} it happened")


class SimBus:
    def __init__(self, line: Line) -> None:
        self._line = line
        self._bus = line.world.bus

    @property
    def partitions(self) -> int:
        return self._bus.partitions

    async def append(self, records: Sequence[Outgoing]) -> None:
        await self._line.call("bus.append", lambda: self._line.world.append(self._line.process.name, records))

    async def poll(
        self, topic: str, positions: Mapping[int, int], *, max_records: int, max_bytes: int, timeout_s: float
    ) -> list[Record]:
        async def poll() -> list[Record]:
            self._line.world.check_positions(topic, positions)
            return await self._bus.poll(
                topic, positions, max_records=max_records, max_bytes=max_bytes, timeout_s=timeout_s
            )

        return await self._line.call("bus.poll", poll)

    async def ends(self, topic: str) -> dict[int, int]:
        return await self._line.call("bus.ends", lambda: self._bus.ends(topic))

    async def trim(self, topic: str, positions: Mapping[int, int]) -> None:
        await self._line.call("bus.trim", lambda: self._bus.trim(topic, positions))

    async def close(self) -> None:
        return None


class SimMembers:
    """Who serves, and who owns which partition."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._members = line.world.members

    async def beat(self, service: str, name: str, lease_s: float, info: Mapping[str, Any]) -> None:
        await self._line.call("members.beat", lambda: self._members.beat(service, name, lease_s, info))

    async def leave(self, service: str, name: str) -> None:
        await self._line.call("members.leave", lambda: self._members.leave(service, name))

    async def all(self, service: str | None = None) -> list[Member]:
        return await self._line.call("members.all", lambda: self._members.all(service))

    async def survey(self, service: str, topic: str) -> tuple[list[str], dict[int, str | None]]:
        return await self._line.call("members.survey", lambda: self._members.survey(service, topic))

    async def take(self, service: str, topic: str, name: str, limit: int) -> list[Ownership]:
        async def take() -> list[Ownership]:
            taken = await self._members.take(service, topic, name, limit)
            self._trace("took", [one.partition for one in taken])
            return taken

        return await self._line.call("members.take", take)

    async def reclaim(self, topic: str, name: str) -> list[Ownership]:
        async def reclaim() -> list[Ownership]:
            mine = await self._members.reclaim(topic, name)
            self._trace("reclaimed", [one.partition for one in mine])
            return mine

        return await self._line.call("members.reclaim", reclaim)

    async def release(self, topic: str, name: str, partitions: Sequence[int]) -> None:
        async def release() -> None:
            self._trace("released", partitions)
            await self._members.release(topic, name, partitions)

        await self._line.call("members.release", release)

    def _trace(self, what: str, partitions: Sequence[int]) -> None:
        if partitions:
            self._line.world.trace(self._line.process.name, what, f"{list(partitions)}")

    async def make(self, topic: str, partitions: int) -> None:
        await self._line.call("members.make", lambda: self._members.make(topic, partitions))


class SimIngress:
    """What was accepted, where the bus may lose and repeat what it holds."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._ingress = line.world.ingress

    async def accept(self, commands: Sequence[Accepted]) -> None:
        async def accept() -> None:
            self._line.world.accepted(self._line.process, commands)
            await self._ingress.accept(commands)

        await self._line.call("ingress.accept", accept)

    async def pending(self, ids: Sequence[str]) -> set[str]:
        return await self._line.call("ingress.pending", lambda: self._ingress.pending(ids))

    async def waiting(self, partitions: Sequence[int], before: int, limit: int) -> list[Accepted]:
        return await self._line.call("ingress.waiting", lambda: self._ingress.waiting(partitions, before, limit))

    async def of(self, partitions: Sequence[int], keys: Sequence[str]) -> list[Accepted]:
        return await self._line.call("ingress.of", lambda: self._ingress.of(partitions, keys))


class SimStore:
    def __init__(self, line: Line) -> None:
        self._line = line
        self._store = line.world.store

    async def unsent(self, partition: int, from_off: int) -> list[OutEntry]:
        return await self._line.call("store.unsent", lambda: self._store.unsent(partition, from_off))

    async def load(self, ids: Sequence[str]) -> dict[str, Any]:
        return await self._line.call("store.load", lambda: self._store.load(ids))

    async def slots(self, flow_keys: Sequence[str]) -> dict[str, int]:
        return await self._line.call("store.slots", lambda: self._store.slots(flow_keys))

    async def commit(self, batch: Commit) -> list[tuple[str, str, int]]:
        return await self._line.call("store.commit", lambda: self._commit(batch))

    async def _commit(self, batch: Commit) -> list[tuple[str, str, int]]:
        world = self._line.world
        try:
            admitted = await self._store.commit(batch)
        except Exception as problem:
            world.trace(self._line.process.name, "commit", f"{type(problem).__name__}: {problem}")
            raise
        world.committed(self._line.process, batch)
        return admitted

    async def done_off(self, partition: int) -> int:
        return await self._line.call("store.done_off", lambda: self._store.done_off(partition))

    async def rewind(self, partition: int, epoch: int, position: int) -> None:
        await self._line.call("store.rewind", lambda: self._store.rewind(partition, epoch, position))

    async def due_timers(self, now: int, limit: int, partitions: Sequence[int] | None = None) -> list[DueTimer]:
        return await self._line.call("store.due_timers", lambda: self._store.due_timers(now, limit, partitions))

    async def mark_fired(self, timers: Sequence[DueTimer]) -> None:
        await self._line.call("store.mark_fired", lambda: self._store.mark_fired(timers))


class SimFlows(Flows):
    """The executor's flows; asked for in an order that does not depend on the hash of text, parsed once per world."""

    def __init__(self, line: Line) -> None:
        super().__init__(line.world.flow_cache)
        self._line = line

    async def prepare(self, wanted: set[Key]) -> None:
        ordered: Any = sorted(wanted, key=str)
        await self._line.call("flows.prepare", lambda: super(SimFlows, self).prepare(ordered))


class SimJobs:
    """The queue as a worker or an executor reaches it. What it has to tell the executor goes through `JobCommands`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._jobs = line.world.jobs

    async def claim(
        self, worker: str, queues: Sequence[str], limit: int, *, timeout_s: float, tags: Collection[str] = ()
    ) -> list[Claim]:
        return await self._line.call(
            "jobs.claim", lambda: self._jobs.claim(worker, queues, limit, timeout_s=timeout_s, tags=tags)
        )

    async def renew(self, worker: str, held: Sequence[Held]) -> list[Held]:
        return await self._line.call("jobs.renew", lambda: self._jobs.renew(worker, held))

    async def cancelled(self, worker: str, *, timeout_s: float) -> list[Held]:
        return await self._line.call("jobs.cancelled", lambda: self._jobs.cancelled(worker, timeout_s=timeout_s))

    async def report(self, results: Sequence[Any]) -> None:
        await self._line.call("jobs.report", lambda: self._jobs.report(results))

    async def expire(self, limit: int) -> int:
        return await self._line.call("jobs.expire", lambda: self._jobs.expire(limit))

    async def close(self) -> None:
        return None


class JobCommands:
    """What the queue has to tell: through the api for workers, by itself in an executor. Either may die meanwhile."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def send(self, commands: Sequence[cmd.Command]) -> None:
        process = PROCESS.get()
        assert process is not None, "the queue is used by processes only"
        self._world.claimed(process, commands)
        if process in self._world.executors:
            await self._world.sender(process).send(commands)
        else:
            await self._world.api.send(commands)


class SimSink:
    """Log lines are written, and forgotten."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def write_logs(self, entries: list[LogEntry]) -> None:
        await self._line.call("logs.write", lambda: asyncio.sleep(0))

    async def write_metrics(self, entries: list[MetricEntry]) -> None:
        await self._line.call("metrics.write", lambda: asyncio.sleep(0))


class SimClock:
    """Virtual time as a process sees it; chance from the world's one generator."""

    def __init__(self, world: World, process: Process | None = None) -> None:
        self._world = world
        self._process = process

    def now_us(self) -> int:
        offset = self._process.offset_us if self._process is not None else 0
        return self._world.now_us() + offset

    def monotonic(self) -> float:
        return self._world.loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))

    def random_bytes(self, n: int) -> bytes:
        return self._world.chance.randbytes(n)

    def random(self) -> float:
        return self._world.chance.random()
