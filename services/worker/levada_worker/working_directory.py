"""The WorkingDirectory: its children in order, in one folder, as task runs that the worker makes by itself.

Children see the outputs of those before them under `outputs.<id>`, the variables of the WorkingDirectory, and its folder.
After a failure (that `allowFailure` does not soften) the `errors` branch runs, `finally` always does; then outputFiles are
stored. Every child is reported twice: when it starts (so that people see it) and with the result.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from levada.engine import retry
from levada.model import ids
from levada.model.commands import ChildTask
from levada.model.errors import UserError
from levada.model.flow import Retry
from levada.model.jobs import Job, JobTask
from levada.model.states import State, worse
from levada_worker import task as tasks
from levada_worker.attempt_log import AttemptLog
from levada_worker.cache import FolderCache
from levada_worker.context import WorkerContext
from levada_worker.parts import Parts
from levada_worker.task import Result

Progress = Callable[[ChildTask], Awaitable[None]]


class WorkingDirectory:
    """One attempt of one WorkingDirectory. `children` holds what is known of them at any time, also after a cancel."""

    def __init__(self, parts: Parts, job: Job, log: AttemptLog, context: WorkerContext, progress: Progress) -> None:
        self.children: dict[str, ChildTask] = {}
        self._parts = parts
        self._job = job
        self._log = log
        self._context = context
        self._progress = progress
        self._folder: Path = context.working_dir
        self._value = _value_of(job)
        self._outputs: dict[str, Any] = dict(job.variables.get("outputs") or {})

    async def run(self) -> Result:
        """Run everything. Raises UserError when the folder cannot be prepared or its files not be stored."""
        properties = self._job.task.properties
        rendered = {
            name: await self._context.render(properties[name])
            for name in ("inputFiles", "namespaceFiles", "outputFiles")
            if properties.get(name) is not None
        }
        cache = await FolderCache.of(self._parts.files, self._job, self._context)
        if cache is not None:
            self._log.write("DEBUG", await cache.restore(self._folder, self._context.now_us()))
        await self._context.prepare_files(rendered.get("inputFiles"), rendered.get("namespaceFiles"))
        state, error = await self._branches()
        outputs: dict[str, Any] = {}
        if "outputFiles" in rendered:
            outputs["outputFiles"] = await self._context.collect_files(_patterns(rendered["outputFiles"]))
        if cache is not None and not state.is_failed:
            self._log.write("DEBUG", await cache.save(self._folder))
        return Result(state=state, outputs=outputs or None, error=error)

    async def _branches(self) -> tuple[State, str | None]:
        branches = self._job.task.branches
        state, error = await self._sequence(branches.get("tasks", ()))
        if state is State.FAILED and branches.get("errors"):
            state = worse(state, (await self._sequence(branches["errors"]))[0])
        if branches.get("finally"):
            last, problem = await self._sequence(branches["finally"])
            state, error = worse(state, last), error or problem
        return state, error

    async def _sequence(self, branch: Sequence[JobTask]) -> tuple[State, str | None]:
        """Run tasks in order up to the first failure; return the worst state and what failed."""
        state = State.SUCCESS
        for task in branch:
            if task.disabled:
                continue
            child = await self._child(task)
            state = worse(state, child.state)
            if child.state.is_failed:
                return state, f"task `{task.id}` failed: {child.error}" if child.error else f"task `{task.id}` failed"
        return state, None

    async def _child(self, task: JobTask) -> ChildTask:
        now = self._context.now_us()
        child = ChildTask(
            key=task.id,
            task_id=task.id,
            state=State.RUNNING,
            history=[(State.CREATED, now), (State.RUNNING, now)],
            index=len(self.children),
        )
        self.children[task.id] = child
        try:
            child = await self._attempts(task, child)
        except asyncio.CancelledError:
            self.children[task.id] = self._ended(child, State.KILLED)
            raise
        self.children[task.id] = child
        if child.outputs is not None:
            own = child.outputs
            self._outputs[task.id] = {**own, self._value: own} if self._value is not None else own
        return child

    async def _attempts(self, task: JobTask, child: ChildTask) -> ChildTask:
        """Run the task, again where its retry policy says so."""
        first = child.history[0][1]
        while True:
            run_id = ids.derive(self._job.task_run_id, child.key)
            log = self._parts.log(self._job, task, run_id, self._log.masker, child.attempts)
            context = self._parts.context(
                self._job, log, self._variables(task, run_id, child), self._folder, self._context.urgency
            )
            try:
                if task.run_if is not None and not await _holds(task, context):
                    return self._ended(child, State.SKIPPED)
                await self._progress(child)
                result = await tasks.run(task, context, self._parts.registry, log, self._parts.config.output_bytes)
            except UserError as problem:
                result = tasks.failed(problem, log)
            finally:
                await self._parts.keep_log(self._job, log)
            pause = _pause(task, run_id, child, result, first, self._context.now_us())
            if pause is None:
                state = _allowed(task, result.state)
                return self._ended(child, state, outputs=result.outputs, error=result.error)
            log.write("WARN", f"attempt {child.attempts} failed; the next one follows in {pause / 1e6:g} s")
            await asyncio.sleep(pause / 1_000_000)
            child = msgspec.structs.replace(child, attempts=child.attempts + 1)

    def _ended(self, child: ChildTask, state: State, **changes: Any) -> ChildTask:
        history = [*child.history, (state, self._context.now_us())]
        return msgspec.structs.replace(child, state=state, history=history, **changes)

    def _variables(self, task: JobTask, run_id: str, child: ChildTask) -> dict[str, Any]:
        taskrun: dict[str, Any] = {
            "id": run_id,
            "startDate": _iso(child.history[0][1]),
            "attemptsCount": child.attempts - 1,
            "parentId": self._job.task_run_id,
        }
        outer: dict[str, Any] = {}
        if self._value is not None:
            taskrun["value"] = outer["value"] = self._value
        if self._job.iteration is not None:
            taskrun["iteration"] = self._job.iteration
        parent = {"taskrun": outer}
        return {
            **self._job.variables,
            "task": {"id": task.id, "type": task.type},
            "taskrun": taskrun,
            "workerTaskrun": {"id": self._job.task_run_id, **outer},
            "parent": parent,
            "parents": [parent, *(self._job.variables.get("parents") or [])],
            "outputs": self._outputs,
            "workingDir": str(self._folder),
        }


async def _holds(task: JobTask, context: WorkerContext) -> bool:
    try:
        return await context.holds(task.run_if)
    except UserError as problem:
        problem.add_note("in property `runIf`")
        raise


def _value_of(job: Job) -> str | None:
    """The loop value around the WorkingDirectory: its own, or that of the nearest container."""
    if job.value is not None:
        return job.value
    places = [job.variables.get("taskrun"), *(parent.get("taskrun") for parent in job.variables.get("parents") or [])]
    return next((place["value"] for place in places if isinstance(place, dict) and "value" in place), None)


def _allowed(task: JobTask, state: State) -> State:
    if state is State.FAILED and task.allow_failure:
        state = State.WARNING
    if state is State.WARNING and task.allow_warning:
        state = State.SUCCESS
    return state


def _pause(task: JobTask, run_id: str, child: ChildTask, result: Result, first: int, now: int) -> int | None:
    """Return the microseconds to wait before the next attempt, None when there is none."""
    if result.state is not State.FAILED or task.retry is None:
        return None
    policy = msgspec.convert(task.retry, Retry)
    if policy.max_attempts is not None and child.attempts >= policy.max_attempts:
        return None
    pause = retry.delay(policy, child.attempts, run_id)
    if policy.max_duration is not None and now + pause > first + policy.max_duration:
        return None
    return pause


def _patterns(rendered: Any) -> list[str]:
    if isinstance(rendered, str):
        rendered = msgspec.json.decode(rendered) if rendered.strip().startswith("[") else [rendered]
    return [str(pattern) for pattern in rendered]


def _iso(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
