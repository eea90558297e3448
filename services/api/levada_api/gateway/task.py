"""What a task asks of the control plane: secrets, keys and values, control operations.

One operation is one row of OPERATIONS; its arguments are the members of the request's JSON object. Everything happens in
the tenant of the attempt's execution, and secrets are those of its namespace and the ones above.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from levada.model.errors import UserError
from levada.runtime import wire
from levada.sdk.context import Services
from levada_api.call import Call
from levada_api.gateway.exchange import answer, body

Arguments = Mapping[str, Any]
Operation = Callable[[Services, Arguments], Awaitable[Any]]

OPERATIONS: dict[str, Operation] = {
    "kv.get": lambda services, a: services.kv.get(_text(a, "namespace"), _text(a, "key")),
    "kv.put": lambda services, a: services.kv.put(
        _text(a, "namespace"),
        _text(a, "key"),
        a.get("value"),
        type=a.get("type"),
        ttl_us=a.get("ttl_us"),
        description=a.get("description"),
        overwrite=bool(a.get("overwrite", True)),
    ),
    "kv.delete": lambda services, a: services.kv.delete(_text(a, "namespace"), _text(a, "key")),
    "kv.keys": lambda services, a: services.kv.keys(_text(a, "namespace"), str(a.get("prefix") or "")),
    "kv.entries": lambda services, a: services.kv.entries(_text(a, "namespace")),
    "secrets.get": lambda services, a: services.secrets.get(_text(a, "namespace"), _text(a, "key")),
    "control.call": lambda services, a: services.control.call(_text(a, "operation"), a.get("arguments") or {}),
}


async def call(call: Call) -> web.Response:
    grant = await call.api.gateway.claims.good(call.request.headers.get(wire.ATTEMPT_HEADER))
    name = call.params["operation"]
    operation = OPERATIONS.get(name)
    if operation is None:
        raise UserError(f"the gateway has no operation `{name}`, only {', '.join(OPERATIONS)}")
    arguments = await body(call, dict[str, Any])
    return answer(await operation(call.api.gateway.services(grant), arguments))


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise UserError(f"argument `{name}` must be text")
    return value
