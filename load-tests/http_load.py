"""A bounded load generator for one URL on loopback: raw HTTP/1.1 on kept-alive connections, cheap enough to share the CPU.

Open loop: request n is due at start + n / rate whatever the server does, and its latency counts from that moment, so a
stalled server is not flattered.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class Result:
    """Latencies in seconds, in order of completion."""

    sent: int = 0
    failed: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def quantile(self, q: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * q), len(ordered) - 1)] if ordered else float("nan")


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)

    async def ask(self, request: bytes) -> int:
        """Send a request and return the status of its answer (0: the connection broke)."""
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) >= length and self._answer is not None:
            self._buffer = rest[length:]
            self._answer.set_result(int(head[9:12]))


async def run(host: str, port: int, request: bytes, *, rate: float, seconds: float, connections: int) -> Result:
    """Send `rate` requests a second for `seconds`; wait for the answers that are still out at the end (30 s at most)."""
    loop = asyncio.get_running_loop()
    result = Result()
    free: asyncio.Queue[_Connection] = asyncio.Queue(connections)
    for _ in range(connections):
        _, connection = await loop.create_connection(_Connection, host, port)
        free.put_nowait(connection)
    total = int(rate * seconds)
    begun = time.monotonic()
    pending: set[asyncio.Task[None]] = set()

    async def one(connection: _Connection, due: float) -> None:
        status = await connection.ask(request)
        if status == 200:
            result.latencies.append(time.monotonic() - due)
        else:
            result.failed += 1
        free.put_nowait(connection)

    for n in range(total):
        due = begun + n / rate
        ahead = due - time.monotonic()
        if ahead > 0.001:
            await asyncio.sleep(ahead)
        connection = await free.get()
        task = loop.create_task(one(connection, due))
        pending.add(task)
        task.add_done_callback(pending.discard)
        result.sent += 1
    if pending:
        await asyncio.wait(pending, timeout=30)
    result.seconds = time.monotonic() - begun
    return result


def post(path: str, port: int) -> bytes:
    """Return a POST without a body."""
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\r\n".encode()
