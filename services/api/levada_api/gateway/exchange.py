"""How requests of workers are read and answered: bodies in, bodies out, and errors so that their family arrives (wire.py).

Who may ask at all is decided in door.py.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from levada.model.errors import Defect, LevadaError, Transient, UserError
from levada.runtime import telemetry, wire
from levada_api.call import Call
from levada_api.routing import Handler

log = logging.getLogger("levada.api.gateway")

T = TypeVar("T")

#: A batch of results may hold many large outputs; beyond this it is no batch that a worker makes.
BODY_BYTES = 256 * 1024 * 1024

Answer = Callable[[Call], Awaitable[web.StreamResponse]]


def for_workers(handler: Answer) -> Handler:
    """Let only workers in, and answer errors as wire.py says, so that their family arrives."""

    async def answered(call: Call) -> web.StreamResponse:
        try:
            call.api.gateway.door.check(call.request)
            parent = telemetry.extract(call.request.headers)
            if not telemetry.sampled(parent):
                return await handler(call)
            what = call.request.path.removeprefix(wire.PREFIX)
            with telemetry.span(f"gateway {call.request.method} {what}", parent=parent, kind="server"):
                return await handler(call)
        except LevadaError as error:
            return _refused(error)
        except (web.RequestPayloadError, ConnectionError) as error:
            return _refused(Transient(f"the connection broke: {error}"))
        except Exception as error:
            number = call.api.new_id()
            log.exception("%s failed, error id %s", call.request.rel_url, number)
            return _refused(Defect(f"{type(error).__name__} in the gateway, error id {number}; its log has the cause"))

    return answered


def _refused(error: LevadaError) -> web.Response:
    status, body = wire.refusal(error)
    if isinstance(error, Defect):
        log.error("a worker's request failed: %s", error)
    # An answer 401 has to say which credentials are wanted (RFC 9110, 15.5.2).
    headers = {"WWW-Authenticate": 'Bearer realm="workers"'} if status == 401 else None
    return web.Response(status=status, body=wire.encode(body), content_type="application/json", headers=headers)


async def body(call: Call, shape: type[T]) -> T:
    """Return the body of the request. Raises UserError."""
    data = bytearray()
    async for chunk in call.request.content.iter_any():
        data += chunk
        if len(data) > BODY_BYTES:
            raise UserError(f"the request has more than {BODY_BYTES:,} bytes")
    try:
        return msgspec.json.decode(bytes(data), type=shape)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(
            f"the gateway does not understand the request ({error}): are api and worker of neighbouring versions?"
        ) from error


def answer(data: object) -> web.Response:
    return web.Response(body=wire.encode(data), content_type="application/json")


def nothing() -> web.Response:
    return web.Response(status=204)
