"""Attempts that nobody can run: what their flow wants done where no worker serves their queue (`fallback`).

    FAIL      the attempt fails, and says why; a retry of the task is another attempt
    CANCEL    the execution is killed
    IGNORE    the choice of worker is forgotten: any worker of the default queue may take it
    WAIT      nothing; that is the default, and such attempts are not even looked at here

Workers come and go, and a gateway that was away a moment has heard of none. So a queue counts as deserted only after nobody
has served it for a whole `patience`, and an attempt is touched only after it has waited for as long. All is done by the
executor with the first partition, by statements that touch only what still waits: a worker that comes in between wins.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from levada.jobs.port import Stranded
from levada.model import commands as cmd
from levada.model import routes
from levada.model.jobs import Job, LogEntry
from levada.runtime import workers
from levada.runtime.clock import Clock
from levada.runtime.lifecycle import pause
from levada.runtime.sinks import LogSink
from levada.store.members import Member
from levada_executor.timers import Sender

log = logging.getLogger("levada.executor")

BATCH = 200
WHO = "nobody"
"""Stands where a worker's name would, in the history of an attempt that was refused."""


class Deserted:
    """Looks every `every_s` while it is this executor's turn (`leads`)."""

    def __init__(
        self,
        jobs: Stranded,
        commands: Sender,
        logs: LogSink,
        clock: Clock,
        *,
        workers: Callable[[], Awaitable[Sequence[Member]]],
        leads: Callable[[], bool],
        wake_workers: Callable[[], None],
        patience_s: float,
    ) -> None:
        """`workers` gives those that are known, living or not."""
        self._jobs = jobs
        self._commands = commands
        self._logs = logs
        self._clock = clock
        self._workers = workers
        self._leads = leads
        self._wake_workers = wake_workers
        self._patience_s = patience_s
        #: Route → monotonic seconds since when nobody serves it.
        self._since: dict[str, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if self._leads():
                await self.look()
            else:
                self._since.clear()
            await pause(stop, self._patience_s / 3)

    async def look(self) -> int:
        """Do what is to be done now; return for how many attempts. Raises Transient."""
        there = await self._workers()
        now = self._clock.monotonic()
        empty = [route for route in await self._jobs.routes() if not workers.serve(there, route)]
        self._since = {route: self._since.get(route, now) for route in empty}
        done = 0
        for route, since in self._since.items():
            if now - since >= self._patience_s:
                done += await self._settle(route)
        return done

    async def _settle(self, route: str) -> int:
        waiting = await self._jobs.stranded(route, int(self._patience_s * 1_000_000), BATCH)
        why = f"no worker serves queue `{route}`, and none has for {self._patience_s:.0f} s"
        failing, cancelled, ignoring = (
            [job for job in waiting if job.if_no_worker == wanted] for wanted in ("FAIL", "CANCEL", "IGNORE")
        )
        done = 0
        if failing:
            refused = await self._jobs.refuse(failing, WHO, f"{why} (fallback: FAIL)")
            done += await self._said(refused, "ERROR", f"{why}: the task fails (fallback: FAIL)")
        if cancelled:
            await self._commands.send([cmd.KillExecution(execution_id=id) for id in _executions(cancelled)])
            done += await self._said(cancelled, "ERROR", f"{why}: the execution is killed (fallback: CANCEL)")
        if ignoring and route != routes.DEFAULT_QUEUE:
            moved = await self._jobs.reroute(ignoring, routes.DEFAULT_QUEUE)
            text = f"{why}: any worker of queue `{routes.DEFAULT_QUEUE}` may run the task (fallback: IGNORE)"
            done += await self._said(moved, "WARN", text)
            self._wake_workers()
        return done

    async def _said(self, jobs: Sequence[Job], level: str, text: str) -> int:
        """Say it in the log of each task run, and once in ours."""
        if jobs:
            log.warning("%d attempts: %s", len(jobs), text)
            at = self._clock.now_us()
            await self._logs.write_logs([_entry(job, level, text, at) for job in jobs])
        return len(jobs)


def _executions(jobs: Sequence[Job]) -> list[str]:
    return list(dict.fromkeys(job.execution_id for job in jobs))


def _entry(job: Job, level: str, text: str, at: int) -> LogEntry:
    return LogEntry(
        execution_id=job.execution_id,
        namespace=job.namespace,
        flow_id=job.flow_id,
        level=level,
        message=text,
        at=at,
        tenant=job.tenant,
        task_id=job.task.id,
        task_run_id=job.task_run_id,
        attempt=job.attempt,
    )
