"""Asks a broker whether it serves, in two requests of Kafka's protocol written by hand.

A client library would log errors for as long as nobody answers; here nobody answering is the normal case. ApiVersions tells
that a broker listens, Metadata which brokers of its cluster take part: one that is registered and not fenced is listed.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct

ANSWER_TIMEOUT_S = 2.0
LARGEST_ANSWER = 1 << 20
API_VERSIONS, METADATA = 18, 3
CLIENT = b"levada-probe"


async def members(host: str, port: int) -> frozenset[int]:
    """Return the ids of the brokers that take part, as this one knows them; empty while it does not serve."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                await _ask(reader, writer, API_VERSIONS, 0, b"")
                # No topics (an empty list, not null), and no topic may be made by asking.
                return _brokers(await _ask(reader, writer, METADATA, 4, struct.pack(">ib", 0, 0)))
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, EOFError, TimeoutError, struct.error):
        return frozenset()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, api: int, version: int, body: bytes
) -> bytes:
    """Send one request and return its answer's body."""
    request = struct.pack(f">hhih{len(CLIENT)}s", api, version, api, len(CLIENT), CLIENT) + body
    writer.write(struct.pack(">i", len(request)) + request)
    await writer.drain()
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    if not 4 <= size <= LARGEST_ANSWER:
        raise EOFError(f"an answer of {size} bytes")
    return (await reader.readexactly(size))[4:]


def _brokers(answer: bytes) -> frozenset[int]:
    """Read the brokers' ids from a Metadata answer, version 4: throttle time, then (id, host, port, rack) each."""
    (count,) = struct.unpack_from(">i", answer, 4)
    at, found = 8, set()
    for _ in range(count):
        number, host = struct.unpack_from(">ih", answer, at)
        (rack,) = struct.unpack_from(">h", answer, at + 6 + host + 4)
        at += 6 + host + 4 + 2 + max(rack, 0)
        found.add(number)
    return frozenset(found)
