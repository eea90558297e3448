"""Internal storage on behalf of a task, streamed both ways: nothing is ever held whole in memory here.

What may be named is decided by files/paths.py, what may be changed by files/scope.py. An upload becomes visible only when
it is complete; one that breaks off leaves nothing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from aiohttp import web

from levada.files.errors import BadPath
from levada.files.port import Files, Stat
from levada.model.errors import UserError
from levada.runtime import wire
from levada_api.call import Call
from levada_api.gateway.exchange import answer, nothing

log = logging.getLogger("levada.api.gateway")


async def _files(call: Call) -> Files:
    grant = await call.api.gateway.claims.good(call.request.headers.get(wire.ATTEMPT_HEADER))
    return call.api.gateway.files(grant)


def _uri(call: Call, name: str = "uri") -> str:
    return call.request.query.get(name, "")


def _number(call: Call, name: str) -> int | None:
    text = call.request.query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise UserError(f"`{name}` must be a number of bytes, is `{text[:40]}`")
    return int(text)


def version_of(stat: Stat) -> str:
    return stat.version or f"{stat.size}-{stat.modified}"


async def get(call: Call) -> web.StreamResponse:
    """GET ?uri=&offset=&length=: the content, or a part of it."""
    files, uri = await _files(call), _uri(call)
    stat = await files.stat(uri)
    if stat.is_folder:
        raise BadPath(f"`{uri}` is a folder")
    offset, length = _number(call, "offset") or 0, _number(call, "length")
    left = max(stat.size - offset, 0)
    response = web.StreamResponse(headers={wire.VERSION_HEADER: version_of(stat)})
    response.content_type = "application/octet-stream"
    response.content_length = left if length is None else min(left, length)
    await response.prepare(call.request)
    if not await _stream(call, response, files.get(uri, offset=offset, length=response.content_length)):
        # The reader must not take what it got for the whole.
        assert call.request.transport is not None
        call.request.transport.abort()
    return response


async def _stream(call: Call, response: web.StreamResponse, chunks: AsyncIterator[bytes]) -> bool:
    """Send the content; False when it could not be read as far as was promised: the file went away or shrank meanwhile."""
    left = response.content_length or 0
    try:
        async for chunk in chunks:
            await response.write(chunk)
            left -= len(chunk)
    except ConnectionError:
        return True  # the reader went away: there is nobody to tell
    except Exception:  # the answer has begun, so breaking it off is all that can still be said
        log.exception("reading %s for a worker broke off", call.request.query.get("uri"))
        return call.request.transport is None
    return left == 0 or call.request.transport is None


async def put(call: Call) -> web.Response:
    """PUT ?uri=: the body is the content."""
    files = await _files(call)
    return answer(await files.put(_uri(call), _content(call)))


async def _content(call: Call) -> AsyncIterator[bytes]:
    async for chunk in call.request.content.iter_any():
        yield chunk


async def stat(call: Call) -> web.Response:
    return answer(await (await _files(call)).stat(_uri(call)))


async def exists(call: Call) -> web.Response:
    return answer(await (await _files(call)).exists(_uri(call)))


async def listing(call: Call) -> web.Response:
    return answer(await (await _files(call)).list(_uri(call), recursive=call.flag("recursive")))


async def delete(call: Call) -> web.Response:
    return answer(await (await _files(call)).delete(_uri(call), recursive=call.flag("recursive")))


async def move(call: Call) -> web.Response:
    await (await _files(call)).move(_uri(call, "source"), _uri(call, "target"))
    return nothing()


async def make_folder(call: Call) -> web.Response:
    await (await _files(call)).make_folder(_uri(call))
    return nothing()
