"""One request on its way through a handler: what was asked, by whom, and typed access to its arguments and body.

Handlers read everything through this class, so that every wrong argument gets the same kind of answer and every body is
read under a limit. A `Call` lives as long as its request.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from levada_api import errors

if TYPE_CHECKING:
    from levada_api.context import Api

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(enc_hook=str).encode

PAGE_SIZE = 10
PAGE_SIZE_MAX = 1000
#: The largest number that a revision, a page or an attempt can be.
LARGEST = 2**31 - 1


class Call:
    """`params` are the decoded parameters of the path; `user` is who signed in."""

    __slots__ = ("api", "params", "request", "tenant", "user")

    def __init__(self, api: "Api", request: web.BaseRequest, params: dict[str, str], user: str) -> None:
        self.api = api
        self.request = request
        self.params = params
        self.tenant = params.get("tenant", "main")
        self.user = user

    def arg(self, name: str) -> str | None:
        """Return the first value of a query parameter; an empty one counts as absent."""
        return self.request.query.get(name) or None

    def args(self, name: str) -> list[str]:
        return [value for value in self.request.query.getall(name, ()) if value]

    def required(self, name: str) -> str:
        value = self.arg(name)
        if value is None:
            raise errors.bad_request(f"the query parameter `{name}` is missing")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.request.query.get(name)
        if value is None:
            return default
        lowered = value.lower()
        if lowered in ("true", "1", ""):
            return True
        if lowered in ("false", "0"):
            return False
        raise errors.unprocessable(f"the query parameter `{name}` must be true or false, is `{value}`")

    def integer(self, name: str, default: int, *, low: int | None = None, high: int | None = None) -> int:
        value = self.arg(name)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError:
            raise errors.unprocessable(f"the query parameter `{name}` must be a whole number, is `{value}`") from None
        if abs(number) > LARGEST:
            raise errors.unprocessable(f"the query parameter `{name}` must be at most {LARGEST}, is `{value[:40]}`")
        if low is not None and number < low:
            raise errors.invalid_entity([errors.FieldError(f"must be greater than or equal to {low}", f"find.{name}")])
        if high is not None and number > high:
            raise errors.invalid_entity([errors.FieldError(f"must be less than or equal to {high}", f"find.{name}")])
        return number

    def optional_integer(self, name: str) -> int | None:
        return self.integer(name, 0) if self.arg(name) is not None else None

    def time(self, name: str) -> int | None:
        """Return a date of the query as epoch microseconds."""
        value = self.arg(name)
        return None if value is None else instant(value, name)

    def page(self) -> tuple[int, int]:
        """Return limit and offset of `page` (1-based) and `size`."""
        size = self.integer("size", PAGE_SIZE, low=1, high=PAGE_SIZE_MAX)
        return size, (self.integer("page", 1, low=1) - 1) * size

    def sort(self, fields: dict[str, str]) -> list[tuple[str, bool]]:
        """Return (field, descending) of every `sort=name:asc|desc`; `fields` maps what may be named to our names."""
        out = []
        for value in self.args("sort"):
            for part in value.split(","):
                name, _, direction = part.strip().partition(":")
                if direction.lower() not in ("asc", "desc"):
                    raise errors.unprocessable(
                        f"Invalid sort parameter `{part}`, it must look like `id:asc` or `id:desc`"
                    )
                if name not in fields:
                    raise errors.unprocessable(
                        f"Invalid sort parameter: cannot sort by `{name}`, only by {', '.join(sorted(fields))}"
                    )
                out.append((fields[name], direction.lower() == "desc"))
        return out

    async def read(self) -> bytes:
        """Return the body. Raises 413 naming the limit."""
        limit = self.api.config.limits.body
        length = self.request.content_length
        if length is not None and length > limit:
            raise errors.too_large("the request body", limit)
        try:
            return await self.request.read()
        except web.HTTPRequestEntityTooLarge:
            raise errors.too_large("the request body", limit) from None

    async def text(self) -> str:
        body = await self.read()
        try:
            return body.decode(self.request.charset or "utf-8")
        except (ValueError, LookupError) as error:
            raise errors.unprocessable(
                f"the request body is not text in {self.request.charset or 'UTF-8'}: {error}"
            ) from None

    async def json(self, *, nul: bool = False) -> Any:
        """Return the body as JSON values; None when it is empty. Names cannot have NUL characters, inputs may (`nul`)."""
        body = await self.read()
        if not body.strip():
            return None
        if not nul and b"\\u0000" in body:
            raise errors.unprocessable("the request body has a NUL character, which no name or label can have")
        try:
            return _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.unprocessable(f"the request body is not JSON: {error}") from None

    def chunks(self, limit: int) -> AsyncIterator[bytes]:
        """Stream the body. Raises 413 as soon as more than `limit` bytes came."""
        return limited(self.request.content.iter_any(), limit)


async def limited(chunks: AsyncIterator[bytes], limit: int, what: str = "the upload") -> AsyncIterator[bytes]:
    """Pass chunks on until they exceed `limit` bytes."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise errors.too_large(what, limit)
        yield chunk


def instant(text: str, name: str) -> int:
    """Return an ISO 8601 date (UTC when it names no zone) as epoch microseconds. Raises 422 naming the field."""
    try:
        # A `+` of an offset that was not escaped in a query arrives as a space.
        moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
    except ValueError:
        raise errors.unprocessable(f"`{name}` must be a date such as 2026-07-24T09:00:00Z, is `{text}`") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000)


def json(data: Any, status: int = 200) -> web.Response:
    return web.Response(body=_encode(data), status=status, content_type="application/json")


def raw_json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def empty(status: int = 204) -> web.Response:
    return web.Response(status=status)


def page(results: list[Any], total: int) -> web.Response:
    return json({"results": results, "total": total})
