"""Running one task to its result: find the class, render, convert, run within the timeout, read the outputs.

The same for a job of its own and for a child of a WorkingDirectory. Never raises but for cancellation: whatever goes
wrong is a FAILED result whose reason stands in the log.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import msgspec

from levada import expr
from levada.expr.instants import duration_text, parse_duration
from levada.model.errors import LevadaError, UserError
from levada.model.jobs import JobTask
from levada.model.states import State
from levada.sdk.properties import convert, render_property
from levada.sdk.registry import Registry, canonical
from levada.sdk.task import Outcome, Task, TaskFailed
from levada_worker.attempt_log import AttemptLog, explain
from levada_worker.context import WorkerContext

_log = logging.getLogger("levada.worker")

#: What an `Outcome` may say.
OUTCOMES = {"SUCCESS": State.SUCCESS, "WARNING": State.WARNING, "SKIPPED": State.SKIPPED, "FAILED": State.FAILED}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    state: State
    outputs: dict[str, Any] | None = None
    error: str | None = None


class Prepared(msgspec.Struct, frozen=True):
    """A task with its properties rendered, but for those of `cls.RAW`."""

    task: JobTask
    cls: type[Task]
    properties: dict[str, Any]


async def run(task: JobTask, ctx: WorkerContext, registry: Registry, log: AttemptLog, output_bytes: int) -> Result:
    """Prepare and perform the task within its timeout; log why it failed, if it did."""
    limit: timedelta | None = None
    try:
        limit = await timeout_of(task, ctx)
        async with asyncio.timeout(limit.total_seconds() if limit else None) as timer:
            return await perform(await prepare(task, ctx, registry), ctx, output_bytes)
    except TimeoutError as problem:
        if limit is None or not timer.expired():
            return failed(problem, log)
        return failed(timed_out(limit, log), log)
    except Exception as problem:  # noqa: BLE001  a plugin may raise anything; it is the task that failed, not the worker
        return failed(problem, log)


def timed_out(limit: timedelta, log: AttemptLog) -> UserError:
    log.write("ERROR", f"Timeout: the task was stopped after {duration_text(limit)}")
    return UserError(f"Timeout after {duration_text(limit)}")


async def timeout_of(task: JobTask, ctx: WorkerContext) -> timedelta | None:
    if not task.timeout:
        return None
    try:
        return parse_duration(str(await ctx.render(task.timeout)))
    except UserError as problem:
        problem.add_note("in property `timeout`")
        raise


async def prepare(task: JobTask, ctx: WorkerContext, registry: Registry) -> Prepared:
    """Render the properties. Raises UserError for a type that this worker does not have."""
    cls = registry.task(task.type)
    if cls is None:
        near = registry.nearest(task.type)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UserError(f"the task type {canonical(task.type)} is not available on this worker{hint}")
    rendered = {}
    for name, value in task.properties.items():
        rendered[name] = value if name in cls.RAW else await render_property(name, value, ctx.render)
    return Prepared(task, cls, rendered)


async def perform(prepared: Prepared, ctx: WorkerContext, output_bytes: int) -> Result:
    """Run the prepared task. Raises whatever it raises."""
    returned: Any = await convert(prepared.cls, prepared.properties).run(ctx)
    state = State.SUCCESS
    if isinstance(returned, Outcome):
        state, returned = OUTCOMES[returned.state], returned.outputs
    return Result(state=state, outputs=plain_outputs(returned, output_bytes))


def plain_outputs(returned: Any, limit_bytes: int) -> dict[str, Any] | None:
    """Return outputs as plain data. Raises UserError when they are too large or no map."""
    if returned is None:
        return None
    outputs = msgspec.to_builtins(expr.reveal(returned), str_keys=True)
    if not isinstance(outputs, dict):
        raise UserError(f"a task's outputs must be a map or a struct, not {type(returned).__name__}")
    size = len(msgspec.json.encode(outputs))
    if size > limit_bytes:
        raise UserError(
            f"the outputs have {size:,} bytes, but at most {limit_bytes:,} are allowed; "
            "write large results to a file and pass its kestra:/// URI on (outputFiles, or fetchType: STORE)"
        )
    return outputs


def failed(problem: BaseException, log: AttemptLog) -> Result:
    """Log why, and return the result. Exceptions that are no message for users also go to the worker's own log."""
    message = log.masker.hide(explain(problem))
    log.write("ERROR", message)
    if not isinstance(problem, LevadaError):
        _log.warning("task %s raised %s", log.identity.task_id, type(problem).__name__, exc_info=problem)
    outputs = None
    if isinstance(problem, TaskFailed) and problem.outputs is not None:
        outputs = msgspec.to_builtins(expr.reveal(problem.outputs), str_keys=True)
    return Result(state=State.FAILED, outputs=outputs, error=message)
