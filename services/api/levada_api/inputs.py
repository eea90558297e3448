"""Inputs as they arrive: multipart parts, a JSON object, form fields, or nothing.

Nothing is interpreted here: texts stay texts, and the engine types them by the flow's declaration. Only files are handled
at once, because a body can be read but once: the content of a FILE input streams into the internal storage while it is
received and its value becomes the URI. Whatever was stored is removed again when the request fails.

Two conventions name a file's input, the part's name and (older clients) the file's name; the part's name wins if it is
declared. Parts that no input declares are read past, so that a form may carry more than the flow wants.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BadContentDispositionHeader, BadContentDispositionParam

from levada.files import paths
from levada.files.port import Files
from levada.model.flow import Input
from levada_api import errors
from levada_api.call import Call, limited

FILE = "FILE"
#: What the multipart parser raises about a body that is none.
BROKEN = (ValueError, AssertionError, HttpProcessingError, BadContentDispositionHeader, BadContentDispositionParam)


class Received(msgspec.Struct):
    """`values` by input id; `labels` are `key:value` texts of parts called so; `stored` URIs of this request."""

    values: dict[str, Any] = {}
    labels: list[str] = []
    stored: list[str] = []

    async def discard(self, files: Files) -> None:
        """Remove what was stored for a request that failed."""
        for uri in self.stored:
            await files.delete(uri)


class Place(msgspec.Struct, frozen=True):
    """The execution that uploaded files will belong to."""

    namespace: str
    flow_id: str
    execution_id: str

    def uri(self, input_id: str, filename: str) -> str:
        return paths.input_file(self.namespace, self.flow_id, self.execution_id, input_id, filename)


async def receive(call: Call, declared: Sequence[Input], place: Place) -> Received:
    """Read the inputs of a request. Raises ApiError 413, 415 or 422; nothing stays stored then."""
    request = call.request
    if not request.can_read_body:
        return Received()
    kind = request.content_type
    if kind == "application/json":
        return Received(values=_object(await call.json(nul=True)))
    if kind == "application/x-www-form-urlencoded":
        form = await _form(call)
        labels = [] if any(one.id == "labels" for one in declared) else [str(v) for v in form.getall("labels", ())]
        return Received(values=dict(form), labels=labels)
    if kind != "multipart/form-data":
        if not await call.read():
            return Received()
        raise errors.ApiError(
            415, f"inputs come as multipart/form-data or application/json, not as {request.content_type}"
        )
    received = Received()
    try:
        await _multipart(call, {one.id: one for one in declared}, place, received)
    except BaseException:
        await received.discard(call.api.platform.files)
        raise
    return received


async def _multipart(call: Call, declared: Mapping[str, Input], place: Place, received: Received) -> None:
    left = call.api.config.limits.body
    async for part in parts(call):
        name, filename = part.name, part.filename
        own = name if name in declared else filename if filename in declared else None
        if own is not None and declared[own].type == FILE and filename is not None:
            await _store(call, part, place.uri(own, filename), own, received)
            continue
        text = await _text(part, left, call.api.config.limits.body)
        left -= len(text)
        if own is not None:
            received.values[own] = text
        elif name == "labels":
            received.labels.append(text)


async def parts(call: Call) -> AsyncIterator[BodyPartReader]:
    """Yield the parts of a multipart body in order. Raises 415 for another type of body, 422 for a broken one."""
    if call.request.content_type != "multipart/form-data":
        raise errors.ApiError(415, f"the body must be multipart/form-data, is {call.request.content_type}")
    try:
        reader = MultipartReader(call.request.headers, call.request.content)
        async for part in reader:
            if isinstance(part, BodyPartReader):
                yield part
    except BROKEN as error:
        raise _broken(error) from error


async def chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    """Yield the content of a part. Raises 422 when it breaks off."""
    while chunk := await _chunk(part):
        yield chunk


async def _chunk(part: BodyPartReader) -> bytes:
    try:
        return bytes(await part.read_chunk(256 * 1024))
    except BROKEN as error:
        raise _broken(error) from error


def _broken(error: Exception) -> errors.ApiError:
    found = " ".join(str(error).split()) or "it breaks off"
    return errors.unprocessable(f"the request body is not valid multipart/form-data: {found}")


async def _store(call: Call, part: BodyPartReader, uri: str, own: str, received: Received) -> None:
    """Stream a file into storage. An empty one counts as not given, as an empty field of a browser's form does."""
    files, limit = call.api.platform.files, call.api.config.limits.upload
    received.stored.append(uri)
    stat = await files.put(uri, limited(chunks(part), limit, f"the file of input `{own}`"))
    if stat.size == 0:
        await files.delete(uri)
        received.stored.remove(uri)
        return
    received.values[own] = uri


async def _text(part: BodyPartReader, left: int, limit: int) -> str:
    out = bytearray()
    async for chunk in chunks(part):
        out += chunk
        if len(out) > left:
            raise errors.too_large("the sum of all inputs that are no files", limit)
    try:
        return bytes(out).decode(part.get_charset("utf-8"))
    except (ValueError, LookupError) as error:
        raise errors.unprocessable(f"the part `{part.name}` is not text: {error}") from None


async def _form(call: Call) -> Any:
    try:
        return await call.request.post()
    except web.HTTPRequestEntityTooLarge:
        raise errors.too_large("the request body", call.api.config.limits.body) from None


def _object(data: Any) -> dict[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise errors.unprocessable('inputs must be a JSON object such as {"name": "value"}')
    return data
