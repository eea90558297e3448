"""Key-value pairs of a namespace."""

import math
import re
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from aiohttp import web

from levada.model.ids import NAMESPACE
from levada.store.port import KvRow
from levada_api import errors, filters
from levada_api.call import Call, json, page
from levada_api.render import entries as render
from levada_api.render.times import date as shown_date
from levada_api.render.times import duration

KEY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T[\d:.,]+(Z|[+-]\d{2}:?\d{2})?")
_DURATION = re.compile(r"P(?!$)(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")


def checked_key(call: Call) -> str:
    key = call.params["key"]
    if KEY.fullmatch(key) is None:
        raise errors.illegal_argument(
            "Key must start with an alphanumeric character (uppercase or lowercase) and can contain alphanumeric "
            "characters (uppercase or lowercase), dots (.), underscores (_), and hyphens (-) only."
        )
    return key


def checked_namespace(call: Call) -> str:
    namespace = call.params["namespace"]
    if NAMESPACE.fullmatch(namespace) is None:
        raise errors.illegal_argument(f"`{namespace}` is not a namespace; it must look like company.team")
    return namespace


async def put(call: Call) -> web.Response:
    namespace, key = checked_namespace(call), checked_key(call)
    kind, value = typed(await call.text())
    now = call.api.now()
    ttl = call.request.headers.get("ttl") or call.arg("ttl")
    row = KvRow(
        tenant=call.tenant,
        namespace=namespace,
        key=key,
        type=kind,
        value=value,
        created=now,
        updated=now,
        description=call.request.headers.get("description") or call.arg("description"),
        expires=now + filters.duration_us(ttl, "ttl") if ttl else None,
    )
    await call.api.platform.kv.put(row)
    return web.Response(status=200)


def typed(text: str) -> tuple[str, Any]:
    """Return type and value of a text: JSON if it is JSON, then dates and durations, else the text itself."""
    stripped = text.strip()
    try:
        value = msgspec.json.decode(stripped.encode())
    except (msgspec.DecodeError, RecursionError):
        value = _loose_string(stripped)
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, bool):
        return "BOOLEAN", value
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return "NUMBER", value
    return "JSON", value


def _loose_string(text: str) -> str:
    """A quoted string may hold raw line breaks, as clients send them; without quotes the text is the value."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1], flags=re.DOTALL)
    return text


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def _of_text(text: str) -> tuple[str, Any]:
    try:
        if _DATE_TIME.fullmatch(text):
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            shown = shown_date(round(moment.timestamp() * 1_000_000))
            return "DATETIME", shown.replace(".000000Z", "Z")
        if _DATE.fullmatch(text):
            return "DATE", date.fromisoformat(text).isoformat()
    except ValueError:
        return "STRING", text
    if _DURATION.fullmatch(text):
        return "DURATION", duration(filters.duration_us(text, "value"))
    return "STRING", text


async def get(call: Call) -> web.Response:
    namespace, key = call.params["namespace"], call.params["key"]
    row = await call.api.platform.kv.get(call.tenant, namespace, key)
    if row is None:
        raise errors.not_found(f"No value found for key '{key}' in namespace '{namespace}'")
    if row.expires is not None and row.expires <= call.api.now():
        raise errors.ApiError(410, f"the value of key '{key}' in namespace '{namespace}' has expired")
    return json(render.kv_value(row))


async def delete(call: Call) -> web.Response:
    return json(await call.api.platform.kv.delete(call.tenant, call.params["namespace"], call.params["key"]))


async def delete_many(call: Call) -> web.Response:
    """DELETE /namespaces/{ns}/kv `{"keys": […]}`: the answer names those that were there."""
    data = await call.json()
    keys = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise errors.unprocessable('the body must look like {"keys": ["a", "b"]}')
    gone = [key for key in keys if await call.api.platform.kv.delete(call.tenant, call.params["namespace"], key)]
    return json({"keys": gone})


async def of_namespace(call: Call) -> web.Response:
    return json([render.kv_entry(row) for row in await _live(call, call.params["namespace"])])


async def inherited(call: Call) -> web.Response:
    """The entries of the parent namespaces, nearest first."""
    parts = call.params["namespace"].split(".")
    parents = [".".join(parts[:length]) for length in range(len(parts) - 1, 0, -1)]
    return json([render.kv_entry(row) for parent in parents for row in await _live(call, parent)])


async def search(call: Call) -> web.Response:
    limit, offset = call.page()
    sort = call.sort({"key": "key", "namespace": "namespace", "updateDate": "updated"}) or [("key", False)]
    asked = filters.read(call, filters.FLOW_FIELDS)
    rows = [row for row in await _live(call, None) if _fits(row, asked)]
    for field, descending in reversed(sort):
        rows.sort(key=lambda row: getattr(row, field), reverse=descending)
    return page([render.kv_entry(row) for row in rows[offset : offset + limit]], len(rows))


def _fits(row: KvRow, asked: dict[str, Any]) -> bool:
    namespace = asked.get("namespace")
    below = not asked.get("exact") and row.namespace.startswith(f"{namespace}.")
    if namespace is not None and row.namespace != namespace and not below:
        return False
    text = asked.get("text")
    return text is None or text.lower() in row.key.lower()


async def _live(call: Call, namespace: str | None) -> list[KvRow]:
    now = call.api.now()
    rows = await call.api.platform.kv.list(call.tenant, namespace)
    return [row for row in rows if row.expires is None or row.expires > now]
