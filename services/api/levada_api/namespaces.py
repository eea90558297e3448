"""Namespaces, as far as they follow from what is in them.

A namespace is there as soon as a flow is in it, and so are its parents; `system` always is. Reading any well-formed name
answers: tools look before they deploy the first flow.
"""

from typing import Any

from aiohttp import web

from levada.model.ids import NAMESPACE, NAMESPACE_MAX
from levada_api import errors, filters
from levada_api.call import Call, json, page

SYSTEM = "system"


async def get(call: Call) -> web.Response:
    name = call.params["namespace"]
    if NAMESPACE.fullmatch(name) is None or len(name) > NAMESPACE_MAX:
        raise errors.not_found(f"`{name}` cannot be a namespace; it must look like company.team")
    return json(shown(name, call.tenant))


async def search(call: Call) -> web.Response:
    limit, offset = call.page()
    sort = call.sort({"id": "id"})
    asked = filters.read(call, filters.FLOW_FIELDS)
    text = (asked.get("text") or "").lower()
    names = [name for name in await known(call) if text in name.lower()]
    if sort and sort[0][1]:
        names.reverse()
    return page([shown(name, call.tenant) for name in names[offset : offset + limit]], len(names))


async def autocomplete(call: Call) -> web.Response:
    """POST /namespaces/autocomplete `{"q": "…"}`: names that hold the text."""
    data = await call.json()
    text = data.get("q", "") if isinstance(data, dict) else ""
    if not isinstance(text, str):
        raise errors.unprocessable('the body must look like {"q": "company"}')
    return json([name for name in await known(call) if text.lower() in name.lower()])


async def distinct(call: Call) -> web.Response:
    """GET /flows/distinct-namespaces: the namespaces that hold flows."""
    text = (call.arg("q") or "").lower()
    names = await call.api.platform.flows.namespaces(call.tenant)
    return json(sorted(name for name in names if text in name.lower()))


async def known(call: Call) -> list[str]:
    """Return every namespace with its parents, sorted."""
    names = {SYSTEM}
    for name in await call.api.platform.flows.namespaces(call.tenant):
        parts = name.split(".")
        names.update(".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return sorted(names)


def shown(name: str, tenant: str) -> dict[str, Any]:
    return {"id": name, "tenantId": tenant, "deleted": False}
