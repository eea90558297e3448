"""The work queue in memory, over the leases of the store in memory. Waits only through the clock it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, MutableMapping, Sequence
from typing import Protocol, TypeVar

from levada.jobs.commands import CommandLog, refused, started
from levada.model import routes
from levada.model.commands import Command, TaskFinished, TaskProgressed, WorkerLost
from levada.model.jobs import Claim, Grant, Held, Job, decode

TOKEN_BYTES = 16

T = TypeVar("T")


class Lease(Protocol):
    """The row that the executor's store keeps of an attempt; `state` is submitted, claimed, cancel or lost."""

    state: str
    job: bytes
    queue: str
    priority: int
    attempt: int
    submitted: int
    worker: str | None
    token: str | None
    until: int


class Clock(Protocol):
    def now_us(self) -> int: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    def random_bytes(self, n: int) -> bytes: ...


L = TypeVar("L", bound=Lease)


class MemoryJobs:
    """`Jobs`, `LeaseKeeper`, `LeaseReader` and `Stranded`. `leases` is shared with the store: (execution id, task run id) -> lease."""

    def __init__(
        self, leases: MutableMapping[tuple[str, str], L], commands: CommandLog, clock: Clock, *, lease_s: float = 30.0
    ) -> None:
        self._leases = leases
        self._commands = commands
        self._clock = clock
        self._lease_us = int(lease_s * 1_000_000)
        self._changed = asyncio.Event()
        self._told: set[tuple[str, str]] = set()
        self._closed = False
        self.looks = 0

    async def claim(
        self, worker: str, queues: Sequence[str], limit: int, *, timeout_s: float, tags: Collection[str] = ()
    ) -> list[Claim]:
        return await self._until_some(lambda: self._claim(worker, queues, tags, limit), timeout_s)

    async def _claim(self, worker: str, queues: Sequence[str], tags: Collection[str], limit: int) -> list[Claim]:
        self.looks += 1
        now = self._clock.now_us()
        submitted = (lease for lease in self._leases.values() if lease.state == "submitted")
        waiting = [lease for lease in submitted if routes.serves(lease.queue, queues, tags)]
        waiting.sort(key=lambda lease: (-lease.priority, lease.submitted))
        claims = []
        for lease in waiting[: max(limit, 0)]:
            token = self._clock.random_bytes(TOKEN_BYTES).hex()
            claim = Claim(job=decode(lease.job), token=token, lease_until=now + self._lease_us)
            lease.state, lease.worker, lease.token, lease.until = "claimed", worker, token, claim.lease_until
            claims.append(claim)
        if claims:
            await self._commands.send([started(claim, worker, now) for claim in claims])
        return claims

    async def renew(self, worker: str, held: Sequence[Held]) -> list[Held]:
        lost = []
        for one in held:
            lease = self._leases.get((one.execution_id, one.task_run_id))
            if lease is None or lease.state != "claimed" or (lease.token, lease.worker) != (one.token, worker):
                lost.append(one)
            else:
                lease.until = self._clock.now_us() + self._lease_us
        return lost

    async def cancelled(self, worker: str, *, timeout_s: float) -> list[Held]:
        return await self._until_some(lambda: self._cancelled(worker), timeout_s)

    async def _cancelled(self, worker: str) -> list[Held]:
        """Return each only once; whoever misses it hears of it again when it renews."""
        found = []
        for (execution_id, id), lease in self._leases.items():
            if lease.state == "cancel" and lease.worker == worker and lease.token is not None:
                if (worker, lease.token) not in self._told:
                    found.append(Held(execution_id, id, lease.attempt, lease.token))
                self._told.add((worker, lease.token))
        return found

    async def report(self, results: Sequence[TaskFinished | TaskProgressed]) -> None:
        await self._commands.send(results)
        for one in results:
            if isinstance(one, TaskFinished) and one.values is not None:
                key = (one.execution_id, one.task_run_id)
                lease = self._leases.get(key)
                if lease is not None and lease.token == one.token:
                    del self._leases[key]

    async def expire(self, limit: int) -> int:
        now = self._clock.now_us()
        due = [
            (key, lease)
            for key, lease in self._leases.items()
            if lease.state in ("claimed", "cancel", "lost") and lease.until < now
        ]
        due = sorted(due, key=lambda item: item[1].until)[:limit]
        for _, lease in due:
            lease.state = "lost"
        await self._commands.send(
            [
                WorkerLost(execution_id=execution_id, task_run_id=id, attempt=lease.attempt, token=lease.token)
                for (execution_id, id), lease in due
            ]
        )
        for key, lease in due:
            if self._leases.get(key) is lease and lease.state == "lost":
                del self._leases[key]
        return len(due)

    async def routes(self) -> list[str]:
        return sorted({lease.queue for lease in self._leases.values() if lease.state == "submitted"})

    async def stranded(self, route: str, older_us: int, limit: int) -> list[Job]:
        before = self._clock.now_us() - older_us
        waiting = [lease for lease in self._leases.values() if lease.state == "submitted" and lease.queue == route]
        waiting.sort(key=lambda lease: (-lease.priority, lease.submitted))
        found = [decode(lease.job) for lease in waiting if lease.submitted < before]
        return [job for job in found if job.if_no_worker is not None][:limit]

    async def refuse(self, jobs: Sequence[Job], who: str, why: str) -> list[Job]:
        now, told, done = self._clock.now_us(), list[Command](), list[Job]()
        for job, lease in self._still(jobs):
            token = self._clock.random_bytes(TOKEN_BYTES).hex()
            claim = Claim(job=job, token=token, lease_until=now + self._lease_us)
            lease.state, lease.worker, lease.token, lease.until = "claimed", who, token, claim.lease_until
            told += [started(claim, who, now), refused(claim, why, now)]
            done.append(job)
        await self._commands.send(told)
        return done

    async def reroute(self, jobs: Sequence[Job], route: str) -> list[Job]:
        moved = []
        for job, lease in self._still(jobs):
            lease.queue = route
            moved.append(job)
        return moved

    def _still(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Lease]]:
        """Yield those of the attempts that still wait."""
        for job in jobs:
            lease = self._leases.get((job.execution_id, job.task_run_id))
            if lease is not None and (lease.state, lease.attempt) == ("submitted", job.attempt):
                yield job, lease

    async def grants(self, held: Sequence[Held]) -> list[Grant | None]:
        return [self._grant(one) for one in held]

    def _grant(self, held: Held) -> Grant | None:
        lease = self._leases.get((held.execution_id, held.task_run_id))
        if lease is None or (lease.token, lease.attempt) != (held.token, held.attempt):
            return None
        job = decode(lease.job)
        return Grant(
            held=held,
            tenant=job.tenant,
            namespace=job.namespace,
            flow_id=job.flow_id,
            lease=lease.state,
            left_us=lease.until - self._clock.now_us(),
        )

    def notify(self) -> None:
        """Attempts were submitted or withdrawn: look now."""
        self._changed.set()

    async def close(self) -> None:
        self._closed = True
        self._changed.set()

    async def _until_some(self, look: Callable[[], Awaitable[list[T]]], timeout_s: float) -> list[T]:
        deadline = self._clock.monotonic() + timeout_s
        while True:
            self._changed.clear()
            found = await look()
            remaining = deadline - self._clock.monotonic()
            if found or remaining <= 0 or self._closed:
                return found
            await _either(self._changed, self._clock.sleep(remaining))


async def _either(event: asyncio.Event, sleep: Awaitable[None]) -> None:
    """Wait for the event, which the end of the sleep sets too: who waits for it looks again whatever the reason was."""

    def rang(done: asyncio.Future[None]) -> None:
        if not done.cancelled():
            done.exception()  # a clock that broke wakes like one that rang
        event.set()

    ring = asyncio.ensure_future(sleep)
    ring.add_done_callback(rang)
    try:
        await event.wait()
    finally:
        ring.remove_done_callback(rang)
        ring.cancel()
