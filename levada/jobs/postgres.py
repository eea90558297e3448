"""The work queue in Postgres: the lease columns of `task_run`.

    lease        set by                        meaning
    NULL         executor, expire              no attempt is wanted or running
    submitted    executor's commit             waits for a worker
    claimed      claim                         a worker has it, until `lease_until`
    cancel       executor's commit             a worker has it and shall stop

A claim is handed out only when its `TaskStarted` is on the bus, so the executor hears of every attempt before it runs. If
that fails in between, nobody has the attempt and nobody may try again (the command may be there after all): the lease
runs out, and the executor, which knows of no start, submits it again. The lease of an attempt that ended is cleared by the
executor's commit of its result, in the row version it writes anyway.

Waiting is woken by `notify` and `notify_withdrawn` (a commit in this process, or a doorbell) and falls back to polling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from levada.database import Database, Statements
from levada.jobs.commands import CommandLog
from levada.model import jobs
from levada.model.commands import TaskFinished, TaskProgressed, TaskStarted, WorkerLost
from levada.model.jobs import Claim, Held

SQL = Statements(Path(__file__).parent / "sql")

TOKEN_BYTES = 16

T = TypeVar("T")


class PostgresJobs:
    """`Jobs` and `LeaseKeeper`; one per process."""

    def __init__(
        self,
        database: Database,
        commands: CommandLog,
        *,
        now_us: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        lease_s: float = 30.0,
        busy_poll_s: float = 0.02,
        idle_poll_s: float = 0.5,
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Waiting looks again after `busy_poll_s`, then seldomer, down to every `idle_poll_s`."""
        self._database = database
        self._commands = commands
        self._now_us = now_us
        self._random_bytes = random_bytes
        self._lease_us = int(lease_s * 1_000_000)
        self._busy_poll_s = busy_poll_s
        self._idle_poll_s = idle_poll_s
        self._failpoint = failpoint
        self._submitted = Signal()
        self._withdrawn = Signal()
        self._told: dict[str, set[str]] = {}
        self._closed = False

    async def claim(self, worker: str, queues: Sequence[str], limit: int, *, timeout_s: float) -> list[Claim]:
        if limit <= 0 or not queues:
            return []
        return await self._until_some(self._submitted, lambda: self._claim(worker, queues, limit), timeout_s)

    async def _claim(self, worker: str, queues: Sequence[str], limit: int) -> list[Claim]:
        now = self._now_us()
        until = now + self._lease_us
        tokens = [self._random_bytes(TOKEN_BYTES).hex() for _ in range(limit)]
        rows = await self._database.fetch(SQL["claim"], list(queues), limit, worker, tokens, until)
        if not rows:
            return []
        claims = [Claim(job=jobs.decode(job), token=token, lease_until=until) for job, token in rows]
        claims.sort(key=lambda claim: -claim.job.priority)
        self._failpoint("jobs.claimed")
        await self._commands.send([_started(claim, worker, now) for claim in claims])
        self._failpoint("jobs.announced")
        return claims

    async def renew(self, worker: str, held: Sequence[Held]) -> list[Held]:
        if not held:
            return []
        until = self._now_us() + self._lease_us
        rest = await self._renew(SQL["renew_free"], worker, held, until)
        # A row that a commit has locked was passed over. Waiting for several at once could deadlock with that commit.
        return [one for one in rest if await self._renew(SQL["renew"], worker, [one], until)]

    async def _renew(self, sql: str, worker: str, held: Sequence[Held], until: int) -> list[Held]:
        """Extend these leases; return those that were not."""
        ids = [one.execution_id for one in held], [one.task_run_id for one in held], [one.token for one in held]
        renewed = {token for (token,) in await self._database.fetch(sql, *ids, worker, until)}
        return [one for one in held if one.token not in renewed]

    async def cancelled(self, worker: str, *, timeout_s: float) -> list[Held]:
        return await self._until_some(self._withdrawn, lambda: self._cancelled(worker), timeout_s)

    async def _cancelled(self, worker: str) -> list[Held]:
        """Return each only once; whoever misses it hears of it again when it renews."""
        rows = await self._database.fetch(SQL["cancelled"], worker)
        told = self._told.get(worker, set())
        found = [Held(execution_id, id, attempt, token) for execution_id, id, attempt, token in rows]
        self._told[worker] = {one.token for one in found}
        return [one for one in found if one.token not in told]

    async def report(self, results: Sequence[TaskFinished | TaskProgressed]) -> None:
        if not results:
            return
        values = [one for one in results if isinstance(one, TaskFinished) and one.values is not None]
        if not values:
            await self._commands.send(results)
            return
        async with self._database.transaction() as connection:
            await connection.execute(
                SQL["settle"],
                [one.execution_id for one in values],
                [one.task_run_id for one in values],
                [one.token for one in values],
            )
            announce = await self._commands.send_within(connection, results)
        announce()

    async def expire(self, limit: int) -> int:
        async with self._database.transaction() as connection:
            rows = await connection.fetch(SQL["expire"], self._now_us(), limit)
            if not rows:
                return 0
            lost = [
                WorkerLost(execution_id=execution_id, task_run_id=id, attempt=attempt, token=token)
                for execution_id, id, attempt, token in rows
            ]
            announce = await self._commands.send_within(connection, lost)
        announce()
        return len(lost)

    def notify(self) -> None:
        """Attempts were submitted: look now."""
        self._submitted.give()

    def notify_withdrawn(self) -> None:
        """Attempts were withdrawn: look now for those that run here."""
        self._withdrawn.give()

    async def close(self) -> None:
        self._closed = True
        self.notify()
        self.notify_withdrawn()

    async def _until_some(self, signal: Signal, look: Callable[[], Awaitable[list[T]]], timeout_s: float) -> list[T]:
        """Look until there is something, `timeout_s` is over or the queue is closed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pause_s = self._busy_poll_s
        while True:
            seen = signal.given
            found = await look()
            remaining = deadline - loop.time()
            if found or remaining <= 0 or self._closed:
                return found
            await signal.after(seen, min(pause_s, remaining))
            pause_s = min(pause_s * 2, self._idle_poll_s)


class Signal:
    """Wakes whoever waits; a signal given while somebody was looking is not lost on them."""

    def __init__(self) -> None:
        self.given = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def give(self) -> None:
        self.given += 1
        for waiter in self._waiting:
            _wake(waiter)

    async def after(self, seen: int, seconds: float) -> None:
        """Return when a signal was given after the `seen`-th, or after `seconds`."""
        if self.given != seen:
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.add(waiter)
        timer = loop.call_later(seconds, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiting.discard(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _started(claim: Claim, worker: str, now: int) -> TaskStarted:
    job = claim.job
    return TaskStarted(
        execution_id=job.execution_id,
        task_run_id=job.task_run_id,
        attempt=job.attempt,
        token=claim.token,
        worker=worker,
        at=now,
    )
