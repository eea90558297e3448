"""Server-sent events: one response that stays open and carries frames of `id` and `data`.

A follower must never stop a server: a frame is written when the client takes it, comment lines keep idle connections
alive, and a client that went away ends its stream quietly. Nothing that goes wrong after the first byte can become an
error answer any more, so it ends the stream and stands in the log.
"""

import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from aiohttp import web

from levada_api.call import Call
from levada_api.cors import Cors, granted

log = logging.getLogger("levada.api")

KEEP_ALIVE_S = 15.0
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Frame(msgspec.Struct, frozen=True):
    id: str
    data: Any


async def stream(call: Call, frames: AsyncGenerator[Frame | None, None]) -> web.StreamResponse:
    """Send frames until they end; None sends a keep-alive comment."""
    response = web.StreamResponse(headers=HEADERS)
    origin = Cors(call.api.config.server.cors_origins).allowed(call.request.headers)
    if origin is not None:
        response.headers.update(granted(origin))
    try:
        with call.api.streams.open():
            await _send(call, response, frames)
    except (ConnectionError, TimeoutError):
        log.debug("a follower of %s went away", call.request.path)
    except Exception:
        log.exception("the event stream of %s broke off", call.request.path)
    return response


async def _send(call: Call, response: web.StreamResponse, frames: AsyncGenerator[Frame | None, None]) -> None:
    await response.prepare(call.request)
    async with contextlib.aclosing(frames):
        async for frame in frames:
            await response.write(b": keep-alive\n\n" if frame is None else encoded(frame))
    await response.write_eof()


def encoded(frame: Frame) -> bytes:
    """JSON has no raw line breaks, so one data line is enough."""
    return b"id: " + frame.id.encode() + b"\ndata: " + _encode(frame.data) + b"\n\n"
