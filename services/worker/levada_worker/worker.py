"""The worker: bounded slots that claim attempts, run them, keep their leases, hand in their results.

Four loops run side by side: claim (as many attempts as slots are free), renew (all leases in one call), cancel (what people
asked to stop), and fence. The fence is the promise towards the others: an attempt whose lease could not be renewed in time
is killed here *before* anybody else may start it, and its result is never heard.

Stopping: first no more claims; running tasks may finish within the grace; then they are ended and given back. An `abort`
(second signal), or being cancelled, skips the grace. Whatever happens, no process of a task survives.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from levada.files.port import Files
from levada.jobs.port import Jobs
from levada.model.commands import TaskFinished
from levada.model.errors import Transient
from levada.model.jobs import Claim, Held
from levada.runtime import metrics
from levada.runtime.clock import Clock
from levada.runtime.lifecycle import pause
from levada.runtime.surroundings import DiskSpace, Place
from levada.sdk.context import Services
from levada.sdk.registry import Registry
from levada_worker.attempt import DEAF_S, Attempt, Stop
from levada_worker.config import WorkerConfig
from levada_worker.logs import LogBuffer, LogSink
from levada_worker.outbox import Outbox
from levada_worker.parts import Parts
from levada_worker.process.guarded import Guard

_log = logging.getLogger("levada.worker")

LOGS_FIRST_S = 5.0
"""How long a result waits for the task's log lines to be written, so that whoever sees the end can read the log."""
LAST_REPORT_S = 5.0
CLAIM_END_S = 0.25
EARLY_MAX = 1000
DISK_LOOK_S = 1.0
"""How often a worker without space looks whether there is some again."""
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class Worker:
    def __init__(
        self,
        jobs: Jobs,
        services: Callable[[Claim], Services],
        files: Callable[[Claim], Files],
        registry: Registry,
        clock: Clock,
        config: WorkerConfig,
        sink: LogSink,
        *,
        encryption_key: bytes | None = None,
    ) -> None:
        """`services` and `files` give what the task of a claim may use; `encryption_key` opens SECRET inputs."""
        self.config = config
        self._jobs = jobs
        self._clock = clock
        self._running: dict[str, Attempt] = {}
        self._unreported: dict[str, Held] = {}
        self._renewed: dict[str, float] = {}
        self._early: OrderedDict[str, Stop] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._outbox = Outbox(jobs, config.data_dir / f"results-{config.name}.jsonl", self._accepted)
        self._services = services
        self._files = files
        self._buffer = LogBuffer(sink)
        self._guard = Guard()
        self._threads = ThreadPoolExecutor(max_workers=config.slots + 4, thread_name_prefix="render")
        self._registry = registry
        self._encryption_key = encryption_key
        places = [
            Place("working directories", config.temp_dir, "worker.temp_dir"),
            Place("the worker's data folder", config.data_dir, "data_dir"),
        ]
        self.space = DiskSpace(places, config.free_disk_bytes, clock)

    def _parts(self, claim: Claim) -> Parts:
        return Parts(
            config=self.config,
            clock=self._clock,
            files=self._files(claim),
            registry=self._registry,
            services=self._services(claim),
            buffer=self._buffer,
            guard=self._guard,
            threads=self._threads,
            encryption_key=self._encryption_key,
        )

    @property
    def draining(self) -> bool:
        """Whether it claims nothing any more."""
        return self._stopping.is_set()

    @property
    def running(self) -> int:
        """How many attempts are running now."""
        return len(self._running)

    async def run(self, stop: asyncio.Event, abort: asyncio.Event | None = None) -> None:
        """Work until `stop`; then end as the module says. `abort` at any time ends at once."""
        left = self._outbox.open()
        self._show()
        if left:
            _log.info("%d results of an earlier run of this worker are handed in first", left)
        reporting = asyncio.create_task(self._outbox.run())
        loops = [asyncio.create_task(loop()) for loop in (self._renew_loop, self._cancel_loop, self._fence_loop)]
        claiming = asyncio.create_task(self._claim_loop())
        watched = [reporting, *loops, claiming]
        at_once = True  # until the orderly end has been gone through
        try:
            await _first(stop, abort, among=watched)
            self._stopping.set()
            self._freed.set()
            await self._end_claiming(claiming)
            if abort is None or not abort.is_set():
                await self._finish_running(abort)
            at_once = abort is not None and abort.is_set()
        finally:
            self._stopping.set()
            await self._shut_down([claiming, *loops], reporting, at_once=at_once)

    # --- claiming and running

    async def _claim_loop(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            free = self.config.slots - len(self._running)
            if free <= 0:
                self._freed.clear()
                await self._freed.wait()
                continue
            await self._until_space()
            asked = self._clock.monotonic()
            try:
                claims = await self._jobs.claim(
                    self.config.name,
                    self.config.queues,
                    free,
                    timeout_s=self.config.claim_poll_s,
                    tags=self.config.tags,
                )
            except Transient as problem:
                failures = await self._pause(failures, "claiming", problem)
                continue
            failures = 0
            for claim in claims:
                self._start(claim, asked)

    async def _until_space(self) -> None:
        """Leave work to others while there is no space for it here: a task should not fail by coming to the wrong worker."""
        trouble = self.space.trouble()
        if trouble is None:
            return
        _log.error("nothing is claimed for want of space: %s", trouble)
        while self.space.trouble() is not None and not self._stopping.is_set():
            await pause(self._stopping, DISK_LOOK_S)
        if not self._stopping.is_set():
            _log.info("there is space again, work is claimed")

    def _start(self, claim: Claim, asked: float) -> None:
        # The lease runs from some moment after the question: counting from the question errs on the safe side.
        if self._clock.monotonic() - asked > self.config.fence_after_s:
            _log.error("the answer to a claim came so late that somebody else may have the attempt: it is not started")
            return
        attempt = Attempt(claim, self._parts(claim), self._outbox)
        self._running[claim.token] = attempt
        self._renewed[claim.token] = asked
        early = self._early.pop(claim.token, None)
        if early is not None or self._stopping.is_set():
            attempt.stop(early or Stop.SHUTDOWN)
        self._show()
        task = asyncio.create_task(self._attempt(attempt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attempt(self, attempt: Attempt) -> None:
        token = attempt.claim.token
        result: TaskFinished | None = None
        began = self._clock.monotonic()
        try:
            with attempt.observed() as span:
                result = await attempt.run()
                if result is not None:
                    span.set(levada_state=result.state.value)
                    if result.error is not None:
                        span.fail(result.error)
        except Exception:  # noqa: BLE001  our own defect must not cost a slot for ever; the lease runs out and says so
            _log.exception("running task %s of %s failed", attempt.job.task.id, attempt.job.execution_id)
        finally:
            if result is not None:
                self._unreported[token] = attempt.held
                metrics.ATTEMPTS.inc(result.state)
                metrics.ATTEMPT_DURATION.observe(self._clock.monotonic() - began, result.state)
            else:
                self._renewed.pop(token, None)
            del self._running[token]
            self._freed.set()
            self._show()
        if result is not None:
            await self._flush_logs()
            self._outbox.put(result)

    async def _flush_logs(self) -> None:
        try:
            async with asyncio.timeout(LOGS_FIRST_S):
                await self._buffer.flush()
        except TimeoutError:
            _log.warning("the log store is slow: a result is handed in before its log lines are written")

    def _accepted(self, result: TaskFinished) -> None:
        self._unreported.pop(result.token, None)
        self._renewed.pop(result.token, None)
        self._show()

    def _show(self) -> None:
        metrics.SLOTS.set(self.config.slots)
        metrics.SLOTS_USED.set(len(self._running))
        metrics.LEASES.set(len(self._running) + len(self._unreported))
        metrics.UNREPORTED.set(len(self._unreported))

    # --- leases

    async def _renew_loop(self) -> None:
        failures = 0
        while True:
            if failures == 0:
                await asyncio.sleep(self.config.renew_every_s)
            held = [attempt.held for attempt in self._running.values()] + list(self._unreported.values())
            if not held:
                failures = 0
                continue
            asked = self._clock.monotonic()
            try:
                async with asyncio.timeout(self.config.renew_every_s):
                    lost = await self._jobs.renew(self.config.name, held)
            except (Transient, TimeoutError) as problem:
                failures = await self._pause(failures, "renewing leases", problem)
                continue
            failures = 0
            gone = {one.token for one in lost}
            for one in held:
                if one.token in gone:
                    self._stop_attempt(one, Stop.CANCELLED)
                elif one.token in self._renewed:
                    self._renewed[one.token] = asked

    async def _cancel_loop(self) -> None:
        failures = 0
        while True:
            try:
                cancelled = await self._jobs.cancelled(self.config.name, timeout_s=self.config.poll_s)
            except Transient as problem:
                failures = await self._pause(failures, "asking for cancellations", problem)
                continue
            failures = 0
            for held in cancelled:
                self._stop_attempt(held, Stop.CANCELLED)
            if cancelled:
                await asyncio.sleep(0.05)  # an adapter that repeats itself until the attempt ended must not spin

    async def _fence_loop(self) -> None:
        """Kill what could not be renewed. Needs no answer from anybody."""
        while True:
            await asyncio.sleep(min(1.0, self.config.lease_s / 20))
            oldest = self._clock.monotonic() - self.config.fence_after_s
            for token, attempt in list(self._running.items()):
                if self._renewed[token] < oldest and attempt.stopped is not Stop.FENCED:
                    _log.error(
                        "task %s of %s is killed: its lease could not be renewed for %.0f s",
                        attempt.job.task.id,
                        attempt.job.execution_id,
                        self.config.fence_after_s,
                    )
                    metrics.WORKER_FENCED.inc()
                    attempt.stop(Stop.FENCED, at_once=True)

    def _stop_attempt(self, held: Held, reason: Stop) -> None:
        attempt = self._running.get(held.token)
        if attempt is not None:
            attempt.stop(reason)
        elif held.token not in self._unreported:
            # Cancelled while the claim itself is still on its way here.
            self._early[held.token] = reason
            while len(self._early) > EARLY_MAX:
                self._early.popitem(last=False)

    async def _pause(self, failures: int, doing: str, problem: Exception) -> int:
        if failures == 1:
            _log.warning("%s fails, trying again: %s", doing, problem or type(problem).__name__)
        full = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
        await asyncio.sleep(min(full, self.config.renew_every_s) * (0.5 + self._clock.random() / 2))
        return failures + 1

    # --- ending

    async def _end_claiming(self, claiming: asyncio.Task[None]) -> None:
        """Give a claim that is under way the time to come back, so that nothing is claimed and forgotten."""
        await asyncio.wait([claiming], timeout=CLAIM_END_S)
        claiming.cancel()

    async def _finish_running(self, abort: asyncio.Event | None) -> None:
        """Let running tasks end by themselves within the grace."""
        if not self._tasks:
            return
        _log.info("%d running tasks may finish within %.0f s", len(self._running), self.config.grace_s)
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(self._all_ended())]
        if abort is not None:
            waiting.append(asyncio.create_task(abort.wait()))
        try:
            await asyncio.wait(waiting, timeout=self.config.grace_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waiting:
                wait.cancel()

    async def _all_ended(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _shut_down(
        self, loops: Sequence[asyncio.Task[None]], reporting: asyncio.Task[None], *, at_once: bool
    ) -> None:
        await self._give_back(at_once=at_once)
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_REPORT_S / 5 if at_once else LAST_REPORT_S):
                await self._outbox.drained()
        except TimeoutError:
            _log.warning("%d results could not be handed in; they are kept for the next start", len(self._unreported))
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        await self._buffer.close(1.0 if at_once else 5.0)
        self._outbox.close()
        self._guard.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _give_back(self, *, at_once: bool) -> None:
        for attempt in list(self._running.values()):
            attempt.stop(Stop.SHUTDOWN, at_once=at_once)
        if self._tasks:
            limit = 2.0 if at_once else self.config.kill_grace_s + DEAF_S + LOGS_FIRST_S
            await asyncio.wait(list(self._tasks), timeout=limit)


async def _first(*events: asyncio.Event | None, among: Sequence[asyncio.Task[None]]) -> None:
    """Wait for one of the events, or for a loop that broke (its exception is raised)."""
    waits: list[asyncio.Task[Any]] = [asyncio.create_task(event.wait()) for event in events if event is not None]
    try:
        done, _ = await asyncio.wait([*waits, *among], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for wait in waits:
            wait.cancel()
