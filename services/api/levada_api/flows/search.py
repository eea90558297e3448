"""Finding flows: by name, namespace, labels, or what stands in their source."""

import re
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from levada.store.port import FlowRow
from levada_api import errors, filters
from levada_api.call import Call, json, page
from levada_api.flows.crud import shown

SORTS = {"id": "id", "namespace": "namespace", "revision": "revision", "updated": "updated"}
ALL = 1000
SNIPPET_CHARS = 200
MATCHES_MAX = 50


async def search(call: Call) -> web.Response:
    limit, offset = call.page()
    sort = call.sort(SORTS) or [("namespace", False), ("id", False)]
    rows, total = await call.api.platform.flows.search(
        call.tenant, **asked(call), sort=sort, limit=limit, offset=offset
    )
    return page([shown(row) for row in rows], total)


def asked(call: Call) -> dict[str, Any]:
    """Return the filter arguments of the store for this query."""
    values = filters.read(call, filters.FLOW_FIELDS)
    exact = values.pop("exact", False)
    return {**values, "namespace_prefix": not exact}


async def of_namespace(call: Call) -> web.Response:
    """GET /flows/{namespace}: all of them; an unknown namespace is empty."""
    arguments = {"namespace": call.params["namespace"], "namespace_prefix": False}
    return json([shown(row) async for row in every(call, arguments)])


async def every(call: Call, arguments: dict[str, Any]) -> AsyncIterator[FlowRow]:
    """Yield all matching flows, page after page, by namespace and id."""
    offset = 0
    while True:
        rows, total = await call.api.platform.flows.search(
            call.tenant, **arguments, sort=[("namespace", False), ("id", False)], limit=ALL, offset=offset
        )
        for row in rows:
            yield row
        offset += len(rows)
        if not rows or offset >= total:
            return


async def source(call: Call) -> web.Response:
    """GET /flows/source?q=: flows whose source holds a text, with the lines that do."""
    limit, offset = call.page()
    pattern = _pattern(call)
    arguments = {key: value for key, value in asked(call).items() if key != "text"}
    hits = []
    async for row in every(call, arguments):
        found = matches(row.source, pattern)
        if found:
            hits.append((row, found))
    return page([_hit(row, found) for row, found in hits[offset : offset + limit]], len(hits))


def _pattern(call: Call) -> "re.Pattern[str]":
    """The text is searched as it is; regular expressions would let a caller stop the server."""
    text = call.arg("q") or ""
    if call.flag("regex"):
        raise errors.ApiError(501, "searching sources by a regular expression is not available; leave out `regex`")
    escaped = re.escape(text)
    if call.flag("wholeWord"):
        escaped = rf"(?<!\w){escaped}(?!\w)"
    return re.compile(escaped, 0 if call.flag("caseSensitive") else re.IGNORECASE)


def matches(text: str, pattern: "re.Pattern[str]") -> list[dict[str, Any]]:
    """Return line, column (1-based) and line text of the first matches."""
    out: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        found = pattern.search(line)
        if found is not None:
            out.append({"line": number, "column": found.start() + 1, "snippet": line.strip()[:SNIPPET_CHARS]})
            if len(out) >= MATCHES_MAX:
                break
    return out


def _hit(row: FlowRow, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Both shapes in one: 2.0 reads the matches, 1.x model and fragments."""
    return {
        "namespace": row.namespace,
        "id": row.id,
        "editable": True,
        "matches": found,
        "model": shown(row),
        "fragments": [each["snippet"] for each in found],
    }
