"""Rows in files: how tasks hand tables to each other.

A file of rows holds one JSON object per line (`.jsonl`). Kestra's rows, Ion text with one struct per line, are read as
well, since every plugin that takes rows takes them through `read`. Nothing here keeps more than one line in memory.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from typing import Any, Final

import msgspec

from levada.expr import ion
from levada.expr.errors import ExpressionError
from levada.model.errors import UserError

EXTENSION: Final = ".jsonl"
#: A single line longer than this is refused: it is no line, but a file of another kind.
MAX_LINE_BYTES: Final = 64 * 1024 * 1024
#: Lines are handed to the storage in pieces of about this size.
PIECE_BYTES: Final = 256 * 1024

_encoder = msgspec.json.Encoder(decimal_format="number")
_decode = msgspec.json.decode


class BadRow(UserError):
    """A file of rows holds a line that is none."""


def encode(row: Any) -> bytes:
    """Return a row as one line. Dates become ISO text, bytes base64, decimals numbers."""
    return _encoder.encode(row) + b"\n"


async def pieces(rows: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterator[bytes]:
    """Turn rows into chunks of bytes for `Storage.put`."""
    buffer = bytearray()
    async for row in _each(rows):
        buffer += encode(row)
        if len(buffer) >= PIECE_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


async def read(chunks: AsyncIterator[bytes], where: str = "the file") -> AsyncIterator[Any]:
    """Yield the rows of a file of JSON lines or Ion lines. Raises BadRow naming the line; empty lines are skipped."""
    number = 0
    async for line in records(chunks, where=where):
        number += 1
        if line.strip():
            yield _row(line, number, where)


async def records(
    chunks: AsyncIterator[bytes], separator: bytes = b"\n", *, where: str = "the file"
) -> AsyncIterator[bytes]:
    """Cut a stream after each separator; each record ends with it, the last one perhaps not."""
    buffer = bytearray()
    seen = 0  # how much of the buffer is known to hold no separator
    try:
        async for chunk in chunks:
            buffer += chunk
            if buffer.find(separator, max(0, seen - len(separator) + 1)) >= 0:
                *whole, rest = bytes(buffer).split(separator)
                buffer = bytearray(rest)
                for record in whole:
                    yield record + separator
            seen = len(buffer)
            if seen > MAX_LINE_BYTES:
                raise BadRow(f"{where} has a line of more than {MAX_LINE_BYTES // 1024 // 1024} MiB")
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()  # a reader that stops early also ends the download
    if buffer:
        yield bytes(buffer)


async def _each(rows: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row


def _row(line: bytes, number: int, where: str) -> Any:
    try:
        return _decode(line)
    except msgspec.DecodeError:
        pass  # then it may be Ion
    try:
        values = ion.load(line.decode())
    except (ExpressionError, UnicodeDecodeError) as error:
        raise BadRow(
            f"line {number} of {where} is neither JSON nor Ion ({error}); rows are one value per line"
        ) from error
    if len(values) != 1:
        raise BadRow(f"line {number} of {where} holds {len(values)} values; rows are one value per line")
    return values[0]
