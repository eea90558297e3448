"""Server-sent events, read from a stream of bytes as the HTML standard says."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec

from levada.expr import instants


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event; `data` is parsed where it is JSON. `retry` is an ISO duration."""

    data: Any = None
    id: str | None = None
    name: str | None = None
    comment: str | None = None
    retry: str | None = None


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """Yield the events of a stream. What follows the last empty line is no event and is dropped."""
    fields: dict[str, list[str]] = {}
    async for line in _lines(chunks):
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        event = _event(fields)
        fields = {}
        if event is not None:
            yield event


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield lines without their end: CR, LF or both."""
    rest = b""
    async for chunk in chunks:
        rest = (rest + chunk).replace(b"\r\n", b"\n")
        held = rest[-1:] if rest.endswith(b"\r") else b""  # a LF may follow in the next chunk
        *whole, rest = rest[: len(rest) - len(held)].replace(b"\r", b"\n").split(b"\n")
        rest += held
        for line in whole:
            yield line.decode(errors="replace").removeprefix("\ufeff")


def _event(fields: dict[str, list[str]]) -> Event | None:
    if not fields:
        return None
    retry = (fields.get("retry") or [""])[-1]
    return Event(
        data=_data("\n".join(fields["data"])) if "data" in fields else None,
        id=fields["id"][-1] if "id" in fields else None,
        name=fields["event"][-1] if "event" in fields else None,
        comment="\n".join(fields[""]) if "" in fields else None,
        retry=instants.duration_text(timedelta(milliseconds=int(retry))) if retry.isdigit() else None,
    )


def _data(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
