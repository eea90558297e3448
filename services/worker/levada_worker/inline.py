"""The tasks that the executor usually evaluates itself, for the places where only a worker can: inside a
WorkingDirectory, and with `logToFile`.

Meaning and texts are those of levada/engine/inline.py. Tasks that change the execution have no place here.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from levada import expr
from levada.expr.instants import parse_duration
from levada.model.errors import UserError
from levada.sdk.context import RunContext
from levada.sdk.task import TaskFailed

Properties = dict[str, Any]


async def run(type_: str, properties: Properties, raw: Properties, ctx: RunContext) -> dict[str, Any] | None:
    """Return the outputs of an inline task. `raw` are the unrendered properties. Raises UserError, TaskFailed."""
    evaluator = EVALUATORS.get(type_)
    if evaluator is None:
        raise UserError(f"{type_} changes the execution or orders other tasks; it cannot run inside a WorkingDirectory")
    return await evaluator(properties, raw, ctx)


async def _log(p: Properties, raw: Properties, ctx: RunContext) -> None:
    level = str(p.get("level", "INFO")).upper()
    message = p.get("message")
    for line in message if isinstance(message, list) else [message]:
        ctx.log(level, _shown(line))


async def _return(p: Properties, raw: Properties, ctx: RunContext) -> dict[str, Any]:
    value = p.get("format")
    ctx.log("DEBUG", _shown(value))
    ctx.counter("length", len(_shown(value)))
    return {} if value is None else {"value": value}


async def _echo(p: Properties, raw: Properties, ctx: RunContext) -> None:
    ctx.log(str(p.get("level", "INFO")).upper(), _shown(p.get("format")))


async def _output_values(p: Properties, raw: Properties, ctx: RunContext) -> dict[str, Any]:
    return {"values": p.get("values")}


async def _fail(p: Properties, raw: Properties, ctx: RunContext) -> None:
    condition = p.get("condition")
    if condition is None or expr.truthy(condition):
        raise TaskFailed(str(p.get("errorMessage", "Task failure")))


async def _assert(p: Properties, raw: Properties, ctx: RunContext) -> None:
    conditions = raw.get("conditions") or []
    failed = [conditions[n] for n, held in enumerate(p.get("conditions") or []) if not expr.truthy(held)]
    ctx.counter("failed", len(failed))
    ctx.counter("success", len(conditions) - len(failed))
    for condition in failed:
        ctx.log("ERROR", f"Assertion failed: {condition}")
    if failed:
        message = p.get("errorMessage")
        raise TaskFailed(str(message) if message else f"{len(failed)} assertion{'s' * (len(failed) > 1)} failed")


async def _publish(p: Properties, raw: Properties, ctx: RunContext) -> None:
    kinds: dict[str, Callable[..., None]] = {"counter": ctx.counter, "timer": ctx.timer, "gauge": ctx.gauge}
    for metric in p.get("metrics") or []:
        kind, value = str(metric.get("type", "counter")).lower(), metric.get("value")
        if kind not in kinds:
            raise UserError(f"the type of a metric must be one of {', '.join(kinds)}, but is `{kind}`")
        amount = _milliseconds(value) if isinstance(value, str) and value.startswith("P") else float(value)
        tags = {str(key): _shown(text) for key, text in (metric.get("tags") or {}).items()}
        kinds[kind](str(metric.get("name")), amount, **tags)


async def _sleep(p: Properties, raw: Properties, ctx: RunContext) -> None:
    await asyncio.sleep(_milliseconds(str(p.get("duration"))) / 1000)


def _milliseconds(text: str) -> float:
    return parse_duration(text) / timedelta(milliseconds=1)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


EVALUATORS: dict[str, Callable[[Properties, Properties, RunContext], Awaitable[dict[str, Any] | None]]] = {
    "core.log.Log": _log,
    "core.debug.Return": _return,
    "core.debug.Echo": _echo,
    "core.output.OutputValues": _output_values,
    "core.execution.Fail": _fail,
    "core.execution.Assert": _assert,
    "core.metric.Publish": _publish,
    "core.flow.Sleep": _sleep,
}
