"""GET /auditlogs/search: who changed what, newest first."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from levada.model.audit import AuditEntry, Outcome
from levada.store.records import AuditFilter
from levada_api import errors, filters
from levada_api.call import Call, page
from levada_api.render.times import date


async def search(call: Call) -> web.Response:
    limit, offset = call.page()
    found, total = await call.api.platform.audit.search(call.tenant, asked(call), limit=limit, offset=offset)
    return page([shown(entry) for entry in found], total)


def asked(call: Call) -> AuditFilter:
    """Return what the query asks for. Raises 400 or 422 naming what it refuses."""
    values = filters.read(call, filters.AUDIT_FIELDS)
    values.pop("exact", None)
    for name, key in (("user", "who"), ("object", "object")):
        if call.arg(name):
            values[key] = call.arg(name)
    for name, key in (("type", "kinds"), ("action", "actions")):
        if call.args(name):
            values[key] = [value.lower() for value in call.args(name)]
    if call.args("outcome"):
        values["outcomes"] = [_outcome(value) for value in call.args("outcome")]
    return AuditFilter(**values)


def _outcome(text: str) -> Outcome:
    try:
        return Outcome(text.lower())
    except ValueError:
        raise errors.unprocessable(
            f"`outcome` must be one of {', '.join(outcome.value for outcome in Outcome)}, is `{text}`"
        ) from None


def shown(entry: AuditEntry) -> dict[str, Any]:
    """A record as clients read it: Kestra's names where it has one for it."""
    out: dict[str, Any] = {
        "id": entry.id,
        "tenantId": entry.tenant,
        "date": date(entry.at),
        "userId": entry.who,
        "type": entry.kind.upper(),
        "action": entry.action.upper(),
        "outcome": entry.outcome.value.upper(),
        "status": entry.status,
        "detail": entry.details,
        "deleted": False,
    }
    for name, value in (
        ("objectId", entry.object),
        ("namespace", entry.namespace),
        ("requestId", entry.request_id),
        ("ipAddress", entry.remote),
    ):
        if value is not None:
            out[name] = value
    return out
