"""One attempt: from a claim to the result that is handed in.

`run` always comes to an end: with a result, or with None when the attempt is not this worker's any more (its lease ran
out) and what it has to say must not be heard. `stop` may be called at any time, also twice.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any

import msgspec

from levada.expr import reveal
from levada.model.commands import ChildTask, TaskFinished, TaskProgressed
from levada.model.errors import UserError
from levada.model.jobs import Claim, Held, Job, JobKind
from levada.model.states import State
from levada.runtime import logs, telemetry
from levada_worker import task as tasks
from levada_worker.attempt_log import AttemptLog
from levada_worker.cache import TaskCache
from levada_worker.context import Urgency, WorkerContext
from levada_worker.mask import Masker
from levada_worker.outbox import Outbox
from levada_worker.parts import Parts
from levada_worker.sealed import opened
from levada_worker.task import Result
from levada_worker.working_directory import WorkingDirectory

_log = logging.getLogger("levada.worker")

#: A task that does not react to cancellation for this long beyond the kill grace is given up.
DEAF_S = 10.0


class Stop(Enum):
    """Why an attempt is stopped."""

    #: A person or the engine asked for it: the result is KILLED.
    CANCELLED = auto()
    #: The worker shuts down: the attempt is given back.
    SHUTDOWN = auto()
    #: The lease could not be renewed: nothing is reported.
    FENCED = auto()


class Attempt:
    def __init__(self, claim: Claim, parts: Parts, outbox: Outbox) -> None:
        self.claim = claim
        self.job: Job = claim.job
        self.held = Held(self.job.execution_id, self.job.task_run_id, self.job.attempt, claim.token)
        self.stopped: Stop | None = None
        self._parts = parts
        self._outbox = outbox
        self._started = parts.clock.now_us()
        self._urgency = Urgency()
        self._work: asyncio.Task[Result] | None = None
        #: Done when the work is, or when it is not waited for any longer.
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._directory: WorkingDirectory | None = None
        self._values: dict[str, Any] | None = None

    def stop(self, reason: Stop, *, at_once: bool = False) -> None:
        """End the attempt. Repeating it changes nothing, unless `at_once`: then processes get no grace any more."""
        if self.stopped is not None and not at_once:
            return
        if self.stopped is None or reason is Stop.FENCED:
            self.stopped = reason
        self._urgency.now = self._urgency.now or at_once
        if self._work is not None:
            self._work.cancel()
            patience = DEAF_S if at_once else self._parts.config.kill_grace_s + DEAF_S
            asyncio.get_running_loop().call_later(patience, self._give_up)

    def _give_up(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    @contextmanager
    def observed(self) -> Iterator[telemetry.Span]:
        """The span of this attempt in the trace of its execution; log lines of this process inside it name both."""
        job = self.job
        attributes: dict[str, str | bool | float] = {
            "levada.execution.id": job.execution_id,
            "levada.task.id": job.task.id,
            "levada.task.type": job.task.type,
            "levada.task_run.id": job.task_run_id,
            "levada.attempt": job.attempt,
            "levada.worker": self._parts.config.name,
        }
        parent = telemetry.of_execution(job.execution_id, job.trace_parent)
        with (
            logs.bound(execution_id=job.execution_id, task_run_id=job.task_run_id),
            telemetry.span(f"attempt {job.task.id}", parent=parent, kind="consumer", attributes=attributes) as span,
        ):
            yield span

    async def run(self) -> TaskFinished | None:
        masker = Masker()
        log = self._parts.log(self.job, self.job.task, self.job.task_run_id, masker, self.job.attempt)
        try:
            self.job = msgspec.structs.replace(
                self.job, variables=opened(self.job.variables, self._parts.encryption_key, masker)
            )
        except UserError as problem:
            return self._finished(tasks.failed(problem, log), await self._keep_log(log))
        folder = self._parts.config.temp_dir / f"{self.job.task_run_id}-{self.job.attempt}"
        context = self._parts.context(self.job, log, self._variables(folder), folder, self._urgency)
        self._work = asyncio.get_running_loop().create_task(self._perform(context, log))
        if self.stopped is not None:
            self._work.cancel()
        result = await self._outcome(self._work, log)
        await self._clean_up(context, folder)
        log_file = await self._keep_log(log)
        return None if result is None else self._finished(result, log_file)

    def _variables(self, folder: Path) -> dict[str, Any]:
        return {**self.job.variables, "workingDir": str(folder)}

    async def _perform(self, context: WorkerContext, log: AttemptLog) -> Result:
        match self.job.kind:
            case JobKind.EVALUATE:
                return await self._evaluate(context, log)
            case JobKind.WORKING_DIRECTORY:
                return await self._run_directory(context, log)
            case JobKind.RUN:
                return await self._run_task(context, log)

    async def _evaluate(self, context: WorkerContext, log: AttemptLog) -> Result:
        try:
            self._values = reveal(await context.render(self.job.task.properties))
        except Exception as problem:  # noqa: BLE001  the expression is at fault, or a service: the task fails with it
            return tasks.failed(problem, log)
        return Result(state=State.SUCCESS)

    async def _run_task(self, context: WorkerContext, log: AttemptLog) -> Result:
        task, parts = self.job.task, self._parts
        if task.task_cache is None:
            return await tasks.run(task, context, parts.registry, log, parts.config.output_bytes)
        try:
            cache = await TaskCache.of(parts.files, self.job, task, context)
            if cache is None:
                return await tasks.run(task, context, parts.registry, log, parts.config.output_bytes)
            key = await cache.keyed(await tasks.prepare(task, context, parts.registry), context)
            found = await cache.find(key, context.now_us())
            if found is not None:
                log.write("INFO", "the result of an earlier run with the same inputs is used (taskCache)")
                return found
            result = await tasks.run(task, context, parts.registry, log, parts.config.output_bytes)
            await cache.keep(key, result, context.now_us())
        except Exception as problem:  # noqa: BLE001  see tasks.run
            return tasks.failed(problem, log)
        return result

    async def _run_directory(self, context: WorkerContext, log: AttemptLog) -> Result:
        async def progress(child: ChildTask) -> None:
            job = self.job
            self._outbox.put(
                TaskProgressed(
                    execution_id=job.execution_id,
                    task_run_id=job.task_run_id,
                    attempt=job.attempt,
                    token=self.claim.token,
                    children=[child],
                )
            )

        limit = None
        try:
            self._directory = WorkingDirectory(self._parts, self.job, log, context, progress)
            limit = await tasks.timeout_of(self.job.task, context)
            async with asyncio.timeout(limit.total_seconds() if limit else None):
                return await self._directory.run()
        except TimeoutError as problem:
            return tasks.failed(tasks.timed_out(limit, log) if limit is not None else problem, log)
        except Exception as problem:  # noqa: BLE001  see tasks.run
            return tasks.failed(problem, log)

    async def _outcome(self, work: asyncio.Task[Result], log: AttemptLog) -> Result | None:
        """Wait for the work; a task that is deaf to being stopped is waited for only so long."""
        work.add_done_callback(lambda _: self._give_up())
        await self._over
        if not work.done():
            log.write("ERROR", "the task does not react to being stopped; it is left behind")
            _log.error("task %s of %s does not react to being stopped", self.job.task.id, self.job.execution_id)
        elif not work.cancelled():
            result = work.result()
            # Ended well in the very moment it was stopped: then that is its result. A failure is that of being stopped.
            if self.stopped is None or (self.stopped is not Stop.FENCED and result.state is not State.FAILED):
                return result
        return self._stopped_result(log)

    def _stopped_result(self, log: AttemptLog) -> Result | None:
        match self.stopped:
            case Stop.FENCED:
                return None
            case Stop.SHUTDOWN if self.job.on_worker_lost == "fail":
                message = "the worker was stopped while the task ran; `onWorkerLost: fail` forbids a second run"
                log.write("ERROR", message)
                return Result(state=State.FAILED, error=message)
            case Stop.SHUTDOWN:
                return Result(state=State.KILLED)
            case Stop.CANCELLED:
                log.write("WARN", "the task was killed")
                return Result(state=State.KILLED)
            case None:
                return Result(state=State.FAILED, error="the task cancelled itself")

    def _finished(self, result: Result, log_file: str | None) -> TaskFinished:
        job = self.job
        return TaskFinished(
            execution_id=job.execution_id,
            task_run_id=job.task_run_id,
            attempt=job.attempt,
            token=self.claim.token,
            state=result.state,
            at=self._parts.clock.now_us(),
            started=self._started,
            outputs=result.outputs,
            error=result.error,
            released=self.stopped is Stop.SHUTDOWN and result.state is State.KILLED,
            children=list(self._directory.children.values()) if self._directory is not None else [],
            log_file=log_file,
            values=self._values if result.state is State.SUCCESS else None,
        )

    async def _clean_up(self, context: WorkerContext, folder: Path) -> None:
        try:
            if context.has_folder:
                await asyncio.to_thread(context.clear)
        except OSError:
            _log.exception("the working directory %s cannot be removed", folder)

    async def _keep_log(self, log: AttemptLog) -> str | None:
        try:
            return await self._parts.keep_log(self.job, log)
        except Exception:  # noqa: BLE001  the result matters more than the file with the log
            _log.exception("the log file of %s cannot be stored", self.job.task_run_id)
            return None
