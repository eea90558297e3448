"""Retry, concurrency, SLA and checks: the rules that a flow or task sets for its runs.

Everything here is static: durations become microseconds, enumerations are checked, bounds compared.
"""

import re

from levada.flowfile import labels
from levada.flowfile.loader import Path
from levada.flowfile.node import Node, is_dynamic
from levada.flowfile.problems import Report
from levada.model import flow as model
from levada.model import routes

_RETRY = {
    "constant": ("interval",),
    "exponential": ("interval", "maxInterval"),
    "random": ("minInterval", "maxInterval"),
}
_BEHAVIORS = {"MAX_DURATION": "duration", "EXECUTION_ASSERTION": "assert"}
_STYLES = ("ERROR", "SUCCESS", "WARNING", "INFO")
_CHECKS = ("BLOCK_EXECUTION", "FAIL_EXECUTION", "CREATE_EXECUTION")


def retry(node: Node, name: str = "retry") -> model.Retry | None:
    """Read the retry object of a task or flow."""
    value = node.get(name)
    if value is None:
        return None
    inner = Node(value, node.at(name), node.report)
    kind = inner.text("type")
    if kind is not None:
        kind = kind.lower()
    if kind not in _RETRY:
        inner.error("type", f"Invalid type: {kind or 'null'}; a retry is constant, exponential or random")
        inner.known(inner.data)
        return None
    durations = {field: inner.duration(field) for field in ("interval", "minInterval", "maxInterval", "maxDuration")}
    for field in _RETRY[kind]:
        inner.required(field)
    attempts = inner.integer("maxAttempts", minimum=1)
    older = inner.integer("maxAttempt", minimum=1)
    factor = inner.number("delayFactor", 2.0)
    behavior = inner.choice("behavior", list(model.RetryBehavior), "RETRY_FAILED_TASK")
    warning = inner.flag("warningOnRetry")
    inner.finish("retry")
    _bounds(inner, kind)
    return model.Retry(
        type=kind,
        interval=durations["interval"],
        min_interval=durations["minInterval"],
        max_interval=durations["maxInterval"],
        delay_factor=factor,
        max_attempts=attempts if attempts is not None else older,
        max_duration=durations["maxDuration"],
        warning_on_retry=warning,
        behavior=model.RetryBehavior(behavior or "RETRY_FAILED_TASK"),
    )


def _bounds(node: Node, kind: str) -> None:
    """The waits must be able to happen: each bound is below the next larger one."""
    pairs = [("interval", "maxDuration")]
    if kind == "random":
        pairs = [("minInterval", "maxInterval"), ("minInterval", "maxDuration")]
    elif kind == "exponential":
        pairs = [("interval", "maxDuration"), ("interval", "maxInterval")]
    for low, high in pairs:
        below, above = node.duration(low), node.duration(high)
        if below is not None and above is not None and below >= above:
            node.report.error(node.path, f"'{low}' must be less than '{high}' but is {node.data[low]}")
            return
    for name in ("interval", "minInterval", "maxInterval", "maxDuration"):
        value = node.duration(name)
        if value is not None and value < 0:
            node.error(name, "must not be negative")
    if node.number("delayFactor", 2.0) < 1:
        node.error("delayFactor", "must be greater than or equal to 1")


def concurrency(node: Node) -> model.Concurrency | None:
    """Read the concurrency limit of a flow."""
    value = node.get("concurrency")
    if value is None:
        return None
    inner = Node(value, node.at("concurrency"), node.report)
    limit = inner.integer("limit", minimum=1) if inner.required("limit") else None
    behavior = inner.choice("behavior", list(model.ConcurrencyBehavior), "QUEUE")
    inner.finish("concurrency")
    return model.Concurrency(limit or 1, model.ConcurrencyBehavior(behavior or "QUEUE"))


def sla(node: Node) -> tuple[model.Sla, ...]:
    """Read the list of service levels."""
    out = []
    for item in node.nodes("sla"):
        identifier = item.text("id", required=True)
        kind = item.text("type")
        behavior = item.choice("behavior", ("FAIL", "CANCEL", "NONE")) if item.required("behavior") else None
        set_labels = labels.read(item.get("labels"), item.at("labels"), item.report)
        if kind not in _BEHAVIORS:
            item.error("type", f"Invalid type: {kind or 'null'}; an SLA is MAX_DURATION or EXECUTION_ASSERTION")
            continue
        item.required(_BEHAVIORS[kind])
        duration = item.duration("duration") if kind == "MAX_DURATION" else None
        assertion = item.text("assert") if kind == "EXECUTION_ASSERTION" else None
        item.finish(f"an SLA of type {kind}")
        out.append(
            model.Sla(
                id=identifier or "",
                type=kind,
                behavior=behavior or "NONE",
                duration=duration,
                assertion=assertion,
                labels=set_labels,
            )
        )
    return tuple(out)


def checks(node: Node) -> tuple[dict[str, object], ...]:
    """Read the checks made before an execution is created; `condition` of 1.x becomes `when`."""
    out: list[dict[str, object]] = []
    for item in node.nodes("checks"):
        older = item.text("condition")
        when = item.text("when") or older
        if when is None:
            item.error("when", "must not be null")
        message = item.text("message", required=True)
        style = item.choice("style", _STYLES, "INFO")
        behavior = item.choice("behavior", _CHECKS, "BLOCK_EXECUTION")
        item.finish("a check")
        out.append({"when": when, "message": message, "style": style, "behavior": behavior})
    return tuple(out)


def timeout(node: Node) -> str | None:
    """Read the timeout of a task: an ISO 8601 duration or an expression, kept as text."""
    value = node.get("timeout")
    if isinstance(value, str) and is_dynamic(value):
        return value
    if node.duration("timeout") is None:
        return None
    return value if isinstance(value, str) else f"PT{value}S"


def worker_group(node: Node) -> dict[str, object] | None:
    """Read where tasks may run: `workerGroup` of 1.x or `workerSelector` of 2.0."""
    group, selector = _inner(node, "workerGroup"), _inner(node, "workerSelector")
    if group is None and selector is None:
        return None
    out: dict[str, object] = {}
    if group is not None:
        key = group.text("key", required=True)
        if key is not None and (is_dynamic(key) or not routes.TAG.fullmatch(key)):
            group.error("key", f"`{key}` is no name of a queue: letters, digits, `-`, `_` and `.`, no expression")
        out["key"] = key
        _fallback(group, out)
        group.finish("workerGroup")
    if selector is not None:
        out["tags"] = _tags(selector)
        out["match"] = selector.choice("match", ("ALL", "ANY"), "ALL")
        _fallback(selector, out)
        selector.finish("workerSelector")
    return out


def _inner(node: Node, name: str) -> Node | None:
    value = node.get(name)
    return None if value is None else Node(value, node.at(name), node.report)


def _tags(node: Node) -> list[str]:
    value = node.get("tags")
    tags = [value] if isinstance(value, str) else value
    if not isinstance(tags, list) or not tags or not all(isinstance(tag, str) for tag in tags):
        node.error("tags", "must be a list of the tags that a worker has to carry, such as [gpu, linux]")
        return []
    if len(tags) > routes.TAGS_MAX:
        node.error("tags", f"must be at most {routes.TAGS_MAX} tags, but are {len(tags)}")
    for index, tag in enumerate(tags):
        if not routes.TAG.fullmatch(tag):
            node.error(
                "tags", f"tag {index + 1}, `{tag[:80]}`, is no label: letters, digits, `-`, `_` and `.`, at most 63"
            )
    return tags


def _fallback(node: Node, out: dict[str, object]) -> None:
    """Read what is to be done while no worker serves the queue; without it the task waits."""
    chosen = node.choice("fallback", ("WAIT", "FAIL", "CANCEL", "IGNORE"))
    if chosen is not None:
        out["fallback"] = chosen


def identifier(node: Node, pattern: re.Pattern[str], maximum: int, *, of: str) -> str:
    """Read and check an `id`; returns it even if it is wrong, so that later messages can name it."""
    value = node.text("id", required=True)
    if value is None:
        return ""
    check_identifier(value, pattern, maximum, node.at("id"), node.report, of=of)
    return value


def check_identifier(
    value: str, pattern: re.Pattern[str], maximum: int, path: Path, report: Report, *, of: str
) -> None:
    """Report an id that does not match its pattern or is too long."""
    if not value:
        report.error(path, f"must not be empty; {of} needs an id")
    elif len(value) > maximum:
        report.error(path, f"must have at most {maximum} characters, but has {len(value)}")
    elif pattern.fullmatch(value) is None:
        report.error(path, f'`{value}` must match "{pattern.pattern}"')
