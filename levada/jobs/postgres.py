"""The work queue in Postgres: the lease columns of `task_run`.

    lease        set by                        meaning
    NULL         executor, expire              no attempt is wanted or running
    submitted    executor's commit             waits for a worker
    claimed      claim                         a worker has it, until `lease_until`
    cancel       executor's commit             a worker has it and shall stop
    lost         expire                        the lease ran out; `lease_until` is when that was last reported

A claim is handed out only when its `TaskStarted` is on the bus, so the executor hears of every attempt before it runs. If
that fails in between, nobody has the attempt and nobody may try again (the command may be there after all): the lease
runs out, and the executor, which knows of no start, submits it again. The lease of an attempt that ended is cleared by the
executor's commit of its result, in the row version it writes anyway.

Leases run on the clock of the database, as this process last saw it: clocks of hosts may differ.

The bus may be another system than this database, so nothing here relies on writing to both at once: what is sent is sent
before the row forgets it, and whoever receives it twice tells it by attempt and token.

Waiting is woken by `notify` and `notify_withdrawn` (a commit in this process, or a doorbell) and falls back to polling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from levada.database import Database, Statements
from levada.jobs.commands import CommandLog, given_back, refused, started
from levada.jobs.dealing import Dealer, Dealt, Kind, Want, shared_out
from levada.model import routes
from levada.model.commands import TaskFinished, TaskProgressed, WorkerLost
from levada.model.jobs import Claim, Grant, Held, Job, decode

SQL = Statements(Path(__file__).parent / "sql")

TOKEN_BYTES = 16
#: Whoever waits for withdrawals waits for the same.
ALL = ("*",)
#: How long the difference between this machine's clock and the database's is taken to hold.
COMPARED_S = 10.0
#: A lease that was marked as lost is reported again after this: whoever marked it died before it was forgotten.
LOST_AGAIN_S = 5.0


class PostgresJobs:
    """`Jobs`, `LeaseKeeper`, `LeaseReader` and `Stranded`; one per process."""

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
        self._failpoint = failpoint
        self._dealer = Dealer(self, busy_poll_s=busy_poll_s, idle_poll_s=idle_poll_s)
        self._withdrawn = Dealer(_Withdrawn(database), busy_poll_s=busy_poll_s, idle_poll_s=idle_poll_s)
        self._ahead_us, self._compared = 0, -COMPARED_S

    async def claim(
        self, worker: str, queues: Sequence[str], limit: int, *, timeout_s: float, tags: Collection[str] = ()
    ) -> list[Claim]:
        return await self._dealer.wait(worker, queues, tags, limit, timeout_s)

    @property
    def looks(self) -> int:
        return self._dealer.looks

    async def deal(self, kind: Kind, wants: Sequence[Want[Claim]]) -> list[list[Claim]]:
        queues, tags = kind
        order = shared_out([want.limit for want in wants])
        until = await self._now() + self._lease_us
        tokens = [self._random_bytes(TOKEN_BYTES).hex() for _ in order]
        workers = [wants[place].worker for place in order]
        wanted = await self._routes(queues, tags) if tags else list(queues)
        rows = await self._database.fetch(SQL["claim"], wanted, len(order), workers, tokens, until)
        found: list[list[Claim]] = [[] for _ in wants]
        if not rows:
            return found
        places = dict(zip(tokens, order, strict=True))
        for job, token in rows:
            found[places[token]].append(Claim(job=decode(job), token=token, lease_until=until))
        for claims in found:
            claims.sort(key=lambda claim: -claim.job.priority)
        self._failpoint("jobs.claimed")
        return found

    async def _routes(self, queues: Sequence[str], tags: Sequence[str]) -> list[str]:
        """Return the routes that have something waiting which a worker with these tags may take."""
        return [route for route in await self.routes() if routes.serves(route, queues, tags)]

    async def announce(self, dealt: Dealt[Claim]) -> None:
        now = self._now_us()
        await self._commands.send([started(claim, want.worker, now) for want, claims in dealt for claim in claims])
        self._failpoint("jobs.announced")

    async def give_back(self, claims: Sequence[Claim]) -> None:
        now = self._now_us()
        await self.report([given_back(claim, now) for claim in claims])

    async def renew(self, worker: str, held: Sequence[Held]) -> list[Held]:
        if not held:
            return []
        until = await self._now() + self._lease_us
        rest = await self._renew(SQL["renew_free"], worker, held, until)
        # A row that a commit has locked was passed over. Waiting for several at once could deadlock with that commit.
        return [one for one in rest if await self._renew(SQL["renew"], worker, [one], until)]

    async def _renew(self, sql: str, worker: str, held: Sequence[Held], until: int) -> list[Held]:
        """Extend these leases; return those that were not."""
        ids = [one.execution_id for one in held], [one.task_run_id for one in held], [one.token for one in held]
        renewed = {token for (token,) in await self._database.fetch(sql, *ids, worker, until)}
        return [one for one in held if one.token not in renewed]

    async def cancelled(self, worker: str, *, timeout_s: float) -> list[Held]:
        return await self._withdrawn.wait(worker, ALL, (), 1, timeout_s)

    async def report(self, results: Sequence[TaskFinished | TaskProgressed]) -> None:
        if not results:
            return
        await self._commands.send(results)
        values = [one for one in results if isinstance(one, TaskFinished) and one.values is not None]
        if values:
            # Until here a crash lets the lease run out: the engine, which has the values, does not mind.
            self._failpoint("jobs.reported")
            await self._database.execute(
                SQL["settle"],
                [one.execution_id for one in values],
                [one.task_run_id for one in values],
                [one.token for one in values],
            )

    async def expire(self, limit: int) -> int:
        now = await self._now()
        rows = await self._database.fetch(SQL["expire"], now, now - int(LOST_AGAIN_S * 1_000_000), limit)
        if not rows:
            return 0
        lost = [
            WorkerLost(execution_id=execution_id, task_run_id=id, attempt=attempt, token=token)
            for execution_id, id, attempt, token in rows
        ]
        self._failpoint("jobs.expired")
        await self._commands.send(lost)
        self._failpoint("jobs.lost_reported")
        ids = [one.execution_id for one in lost], [one.task_run_id for one in lost], [one.token for one in lost]
        await self._database.execute(SQL["forget_lost"], *ids)
        return len(lost)

    async def routes(self) -> list[str]:
        return [route for (route,) in await self._database.fetch(SQL["routes"])]

    async def stranded(self, route: str, older_us: int, limit: int) -> list[Job]:
        rows = await self._database.fetch(SQL["stranded"], route, self._now_us() - older_us, limit)
        found = [decode(job) for (job,) in rows]
        return [job for job in found if job.if_no_worker is not None]

    async def refuse(self, jobs: Sequence[Job], who: str, why: str) -> list[Job]:
        until = await self._now() + self._lease_us
        tokens = [self._random_bytes(TOKEN_BYTES).hex() for _ in jobs]
        rows = await self._database.fetch(SQL["claim_these"], *_named(jobs), tokens, who, until)
        claims = [Claim(job=decode(job), token=token, lease_until=until) for job, token in rows]
        now = self._now_us()
        # A crash before this lets their leases run out: they are submitted again, and refused again.
        await self._commands.send([said for one in claims for said in (started(one, who, now), refused(one, why, now))])
        return [claim.job for claim in claims]

    async def reroute(self, jobs: Sequence[Job], route: str) -> list[Job]:
        moved = {tuple(row) for row in await self._database.fetch(SQL["reroute"], *_named(jobs), route)}
        return [job for job in jobs if (job.execution_id, job.task_run_id) in moved]

    async def grants(self, held: Sequence[Held]) -> list[Grant | None]:
        if not held:
            return []
        ids = [one.execution_id for one in held], [one.task_run_id for one in held], [one.token for one in held]
        rows = await self._database.fetch(SQL["grants"], *ids)
        now = await self._now()
        found: dict[Held, Grant] = {}
        for execution_id, id, attempt, token, lease, until, tenant, namespace, flow_id in rows:
            one = Held(execution_id, id, attempt, token)
            found[one] = Grant(
                held=one, tenant=tenant, namespace=namespace, flow_id=flow_id, lease=lease, left_us=(until or 0) - now
            )
        return [found.get(one) for one in held]

    async def _now(self) -> int:
        """Return the time of leases: the database's, so that processes whose clocks differ agree on when one ran out."""
        at = asyncio.get_running_loop().time()
        if at - self._compared >= COMPARED_S:
            self._ahead_us = await self._database.fetchval(SQL["now"]) - self._now_us()
            self._compared = at
        return self._now_us() + self._ahead_us

    def notify(self) -> None:
        """Attempts were submitted: look now."""
        self._dealer.notify()

    def notify_withdrawn(self) -> None:
        """Attempts were withdrawn: look now for those that run here."""
        self._withdrawn.notify()

    async def close(self) -> None:
        await self._withdrawn.close()
        await self._dealer.close()


def _named(jobs: Sequence[Job]) -> tuple[list[str], list[str], list[int]]:
    """Return the natural keys of attempts as columns."""
    return [job.execution_id for job in jobs], [job.task_run_id for job in jobs], [job.attempt for job in jobs]


class _Withdrawn:
    """Attempts that shall stop, for the workers that ask; each is told once, and again when its worker renews."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told: dict[str, set[str]] = {}

    async def deal(self, kind: Kind, wants: Sequence[Want[Held]]) -> list[list[Held]]:
        workers = [want.worker for want in wants]
        found: dict[str, list[Held]] = {worker: [] for worker in workers}
        for worker, execution_id, id, attempt, token in await self._database.fetch(SQL["cancelled"], workers):
            found[worker].append(Held(execution_id, id, attempt, token))
        told = {worker: self._told.pop(worker, set()) for worker in found}
        self._told |= {worker: {one.token for one in held} for worker, held in found.items() if held}
        return [[one for one in found[worker] if one.token not in told[worker]] for worker in workers]

    async def announce(self, dealt: Dealt[Held]) -> None:
        """The executor knows: it asked for it."""

    async def give_back(self, unwanted: Sequence[Held]) -> None:
        """Whoever was not told hears of it when it renews."""
