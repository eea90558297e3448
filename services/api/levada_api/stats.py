"""Counts of executions over time: what dashboards and lists of flows draw.

Everything here reads the counts that the indexer keeps (store/records.py, `ExecutionCounts`), never the executions, so it
costs the same however many there are, and is a few seconds behind. Times are cut as in Kestra: the longer the range, the
coarser the pieces. A piece begins where the calendar of the asked time zone says; the first and last one are cut to the
range (to the minute, or to the hour for pieces of a day and more).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from aiohttp import web

from levada.model.states import State
from levada.store.port import ExecutionFilter
from levada.store.records import HOUR_US, MINUTE_US, Count, CountFilter
from levada_api import errors
from levada_api.call import Call, instant, json
from levada_api.executions.read import NEWEST_FIRST, shown
from levada_api.render.times import date

DAY_US = 24 * HOUR_US
DEFAULT_RANGE_US = 30 * DAY_US
LONGEST_RANGE_US = 3_660 * DAY_US
MOST_FLOWS = 1_000

#: What a range is cut into: (longer than, pieces).
PIECES: tuple[tuple[int, str], ...] = (
    (365 * DAY_US, "MONTH"),
    (180 * DAY_US, "WEEK"),
    (DAY_US, "DAY"),
    (6 * HOUR_US, "HOUR"),
    (-1, "MINUTE"),
)


class Flow(msgspec.Struct, frozen=True):
    namespace: str
    id: str


class Asked(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a question."""

    start_date: str | None = None
    end_date: str | None = None
    time_zone: str = "UTC"
    namespace: str | None = None
    flow_id: str | None = None
    state: list[str] = []
    flows: list[Flow] | None = None
    namespace_only: bool = False
    q: str | None = None
    labels: Any = None


class Range(msgspec.Struct, frozen=True):
    """`bounds` as the store wants them; `starts` are the beginnings of the pieces by the calendar, one less."""

    pieces: str
    bounds: list[int]
    starts: list[int]


async def daily(call: Call) -> web.Response:
    """POST /stats/executions/daily: one line over all executions asked for."""
    asked = await _body(call)
    cut = range_of(asked, call.api.now())
    found = await call.api.platform.counts.counts(call.tenant, _filter(asked), cut.bounds)
    return json(_line(cut, found))


async def daily_by_flow(call: Call) -> web.Response:
    """POST /stats/executions/daily/group-by-flow: `{namespace: {flow: line}}`, or `{namespace: {"*": line}}`."""
    asked = await _body(call)
    cut = range_of(asked, call.api.now())
    by = ["namespace"] if asked.namespace_only else ["namespace", "flow_id"]
    found = await call.api.platform.counts.counts(call.tenant, _filter(asked), cut.bounds, by=by)
    out: dict[str, dict[str, Any]] = {}
    for (namespace, flow_id), counts in _grouped(found, lambda one: (one.namespace, one.flow_id or "*")).items():
        out.setdefault(namespace, {})[flow_id] = _line(cut, counts)
    return json(out)


async def daily_by_namespace(call: Call) -> web.Response:
    """POST /stats/executions/daily/group-by-namespace: `{namespace: line}`."""
    asked = await _body(call)
    cut = range_of(asked, call.api.now())
    found = await call.api.platform.counts.counts(call.tenant, _filter(asked), cut.bounds, by=["namespace"])
    return json({key: _line(cut, counts) for key, counts in _grouped(found, lambda one: one.namespace).items()})


async def latest_by_flow(call: Call) -> web.Response:
    """POST /stats/executions/latest/group-by-flow: the newest execution of each flow."""
    asked = await _body(call)
    out = []
    for flow in asked.flows or []:
        wanted = ExecutionFilter(namespace=flow.namespace, exact=True, flow_id=flow.id)
        heads, _ = await call.api.platform.queries.search(call.tenant, wanted, sort=NEWEST_FIRST, limit=1)
        out += [shown(head, call.api.now()) for head in heads]
    return json(out)


async def average_duration(call: Call) -> web.Response:
    """GET /executions/namespaces/{namespace}/flows/{flow}/average-duration: of the last 30 days."""
    wanted = CountFilter(namespace=call.params["namespace"], exact=True, flow_id=call.params["flow"])
    end = call.api.now() // HOUR_US * HOUR_US + HOUR_US
    found = await call.api.platform.counts.counts(call.tenant, wanted, [end - DEFAULT_RANGE_US, end])
    duration = _duration(found)
    return json({"count": duration["count"], "averageDuration": duration["avg"], "duration": duration})


# --- questions


async def _body(call: Call) -> Asked:
    try:
        asked = msgspec.convert(await call.json() or {}, Asked)
    except msgspec.ValidationError as error:
        raise errors.unprocessable(f"the body is not a question for counts: {error}") from None
    if asked.q not in (None, "", "*") or asked.labels:
        raise errors.unprocessable("counts are kept by flow and state: they can not be asked by `q` or `labels`")
    if asked.flows is not None and len(asked.flows) > MOST_FLOWS:
        raise errors.unprocessable(f"`flows` may name at most {MOST_FLOWS} flows, these are {len(asked.flows)}")
    return asked


def _filter(asked: Asked) -> CountFilter:
    try:
        states = tuple(State(name.upper()) for name in asked.state)
    except ValueError as error:
        raise errors.unprocessable(f"`state`: {error}") from None
    flows = None if not asked.flows else [(flow.namespace, flow.id) for flow in asked.flows]
    return CountFilter(namespace=asked.namespace, flow_id=asked.flow_id, states=states, flows=flows)


def range_of(asked: Asked, now: int) -> Range:
    """Return the pieces of the range that is asked for. Raises 422."""
    until = instant(asked.end_date, "endDate") if asked.end_date else now
    since = instant(asked.start_date, "startDate") if asked.start_date else until - DEFAULT_RANGE_US
    if since > until:
        raise errors.illegal_argument("Start date must be before End Date")
    if until - since > LONGEST_RANGE_US:
        raise errors.unprocessable(f"a range can have at most {LONGEST_RANGE_US // DAY_US} days")
    try:
        zone: tzinfo = ZoneInfo(asked.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise errors.unprocessable(f"`timeZone`: there is no time zone `{asked.time_zone[:50]}`") from None
    pieces = next(name for longer, name in PIECES if until - since > longer)
    cut = MINUTE_US if pieces in ("MINUTE", "HOUR") else HOUR_US
    starts = [_floor(_local(since, zone), pieces)]
    while _us(after := _next(starts[-1], pieces)) <= until:
        starts.append(after)
    begins = [_us(start) for start in starts]
    return Range(pieces, [since - since % cut, *begins[1:], until - until % cut + cut], begins)


def _local(us: int, zone: tzinfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).astimezone(zone)


def _us(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000


def _floor(moment: datetime, pieces: str) -> datetime:
    moment = moment.replace(second=0, microsecond=0)
    if pieces == "MINUTE":
        return moment
    moment = moment.replace(minute=0)
    if pieces == "HOUR":
        return moment
    moment = moment.replace(hour=0)
    if pieces == "WEEK":
        return moment - timedelta(days=moment.weekday())
    return moment.replace(day=1) if pieces == "MONTH" else moment


def _next(moment: datetime, pieces: str) -> datetime:
    """Return the beginning of the next piece: days are as long as the calendar says, hours and minutes always the same."""
    match pieces:
        case "MINUTE" | "HOUR":
            step = timedelta(minutes=1) if pieces == "MINUTE" else timedelta(hours=1)
            return (moment.astimezone(UTC) + step).astimezone(moment.tzinfo)
        case "MONTH":
            return (moment + timedelta(days=32)).replace(day=1)
        case _:
            return moment + timedelta(days=7 if pieces == "WEEK" else 1)


# --- answers


def _grouped(found: Iterable[Count], key: Callable[[Count], Any]) -> dict[Any, list[Count]]:
    out: dict[Any, list[Count]] = {}
    for one in found:
        out.setdefault(key(one), []).append(one)
    return out


def _line(cut: Range, found: Sequence[Count]) -> list[dict[str, Any]]:
    """Return one entry per piece, also for those in which nothing was."""
    by_start = _grouped(found, lambda one: one.at)
    out = []
    for bound, start in zip(cut.bounds, cut.starts, strict=False):
        counts = by_start.get(bound, [])
        states = {state.value: 0 for state in State}
        for one in counts:
            states[one.state.value] += one.n
        entry = {"startDate": date(start), "groupBy": cut.pieces}
        out.append({**entry, "duration": _duration(counts), "executionCounts": states})
    return out


def _duration(counts: Sequence[Count]) -> dict[str, float]:
    """Durations of those that have ended, in seconds."""
    ended = sum(one.ended for one in counts)
    total = sum(one.duration for one in counts)
    return {
        "min": min((one.shortest for one in counts if one.shortest is not None), default=0) / 1_000_000,
        "max": max((one.longest for one in counts if one.longest is not None), default=0) / 1_000_000,
        "avg": total / ended / 1_000_000 if ended else 0.0,
        "sum": total / 1_000_000,
        "count": ended,
    }
