"""A line between two processes that a test can spoil: a TCP proxy on loopback.

    async with Proxy(("127.0.0.1", 5432)) as line:
        client.connect(line.address)
        line.drop()                 # both ways, silently; new connections get no answer either
        line.drop(up=False)         # only the answers are lost: the server has done it, the client does not know
        line.delay(0.2, jitter_s=0.1)
        line.throttle(10_000)       # bytes per second and direction
        line.reset()                # breaks what is open, with RST
        line.refuse()               # nobody listens
        line.half_open()            # the server has forgotten its clients, and they are not told
        line.heal()

A dropped line loses nothing for good: like TCP, which sends again until it is heard, it hands over what was held back when
it heals. Who connects while it is dropped is not even accepted: the queue of the listening socket is kept full, and the
kernel then drops their SYN like a firewall would. A target may be a Unix socket, such as that of the embedded Postgres.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from levada.bus.broker import ports

Target = tuple[str, int] | Path
CHUNK = 1 << 16
HELD_CHUNKS = 64
"""Chunks per direction that are on their way; then the sender feels it, as it does on a full line."""

BACKLOG = 256
FILLERS = 3
"""Connections that fill a queue of length 0: Linux lets one more in than it was told."""

UP, DOWN = "up", "down"
"""To the target, and from it."""


@dataclass(frozen=True)
class Condition:
    """What the line does with bytes."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    dropped: frozenset[str] = frozenset()


class Proxy:
    """Listens on a port of its own from `start` to `stop`; `target` may be set later, but before anybody connects."""

    def __init__(self, target: Target | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.target = target
        self.host = host
        # Not a number that the kernel might give to a client, which could then connect to itself while we refuse.
        self.port = port or ports.free(host, 1)[0]
        self.condition = Condition()
        self.accepted = 0
        self.carried = {UP: 0, DOWN: 0}
        self._changed = asyncio.Condition()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._fillers: list[socket.socket] = []
        self._filled: set[tuple[str, int]] = set()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def open(self) -> int:
        """Connections that are not at their end."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    # -- life ------------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin to accept. Needs a running loop."""
        if self._listener is None:
            self._listener = _listen(self.host, self.port)
        self._accept()

    async def stop(self) -> None:
        """Break everything and stop listening."""
        await self._no_longer_accept()
        self._stop_filling()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for link in list(self._links):
            link.abort()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- weather -----------------------------------------------------------------------------------------------------
    def heal(self) -> None:
        """Carry everything again, also what was held back. Connections that were forgotten are reset when they speak."""
        self._set(Condition())
        self._stop_filling()
        if self._listener is None:
            self._listener = _listen(self.host, self.port)
        self._listener.listen(BACKLOG)
        self._accept()

    def delay(self, seconds: float, *, jitter_s: float = 0.0) -> None:
        """Make every byte take this long, each way; the order stays."""
        self._set(replace(self.condition, delay_s=seconds, jitter_s=jitter_s))

    def throttle(self, bytes_per_s: float) -> None:
        """Carry no more than this per connection and direction."""
        self._set(replace(self.condition, bytes_per_s=bytes_per_s))

    def drop(self, *, up: bool = True, down: bool = True) -> None:
        """Carry nothing in these directions, without a word. Nobody new gets through while requests are dropped."""
        dropped = frozenset(way for way, lost in ((UP, up), (DOWN, down)) if lost)
        self._set(replace(self.condition, dropped=dropped))
        if self._listener is not None and self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
            self._fill(self._listener)

    def reset(self) -> None:
        """Break all open connections, on both sides; new ones are carried."""
        for link in list(self._links):
            link.abort()

    def refuse(self) -> None:
        """Break all connections and refuse new ones, like a host whose server has died."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        self._stop_filling()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.reset()

    def half_open(self) -> None:
        """Let the target lose its connections without telling the clients, like a host that was restarted. New ones work."""
        for link in list(self._links):
            link.forget()

    def _set(self, condition: Condition) -> None:
        self.condition = condition
        self._spawn(self._tell())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # -- connections -------------------------------------------------------------------------------------------------
    def _accept(self) -> None:
        if self._accepting is None and self._listener is not None:
            self._accepting = asyncio.create_task(self._accept_all(self._listener), name=f"proxy-{self.port}")

    async def _no_longer_accept(self) -> None:
        accepting, self._accepting = self._accepting, None
        if accepting is not None:
            accepting.cancel()
            await asyncio.wait([accepting])

    async def _accept_all(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, peer = await loop.sock_accept(listener)
            if peer in self._filled:
                self._filled.discard(peer)
                client.close()
                continue
            self.accepted += 1
            self._spawn(self._carry(client))

    async def _carry(self, client: socket.socket) -> None:
        """Connect a client through and carry its bytes until both sides are at their end."""
        reader, writer = await asyncio.open_connection(sock=client, limit=CHUNK)
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            _reset(writer)
            return
        link = _Link(self, writer, far_writer)
        self._links.add(link)
        try:
            await _both(_pump(self, link, UP, reader, far_writer), _pump(self, link, DOWN, far_reader, writer))
        except OSError:
            pass  # one side broke off: so does the other
        finally:
            self._links.discard(link)
            link.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.target is None:
            raise ConnectionRefusedError("the proxy has no target yet")
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(str(self.target), limit=CHUNK)
        return await asyncio.open_connection(*self.target, limit=CHUNK)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def passable(self, way: str) -> None:
        """Wait until bytes may travel this way."""
        async with self._changed:
            await self._changed.wait_for(lambda: way not in self.condition.dropped)

    # -- a full queue ------------------------------------------------------------------------------------------------
    def _fill(self, listener: socket.socket) -> None:
        """Let nobody's SYN be answered: Linux drops it while the queue of accepted connections is full."""
        listener.listen(0)
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((self.host, self.port))
            self._fillers.append(filler)
            self._filled.add(filler.getsockname())

    def _stop_filling(self) -> None:
        while self._fillers:
            self._fillers.pop().close()


class _Link:
    """One connection, both its halves."""

    def __init__(self, proxy: Proxy, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.forgotten = False
        self._near, self._far = near, far

    def abort(self) -> None:
        for writer in (self._near, self._far):
            _reset(writer)

    def forget(self) -> None:
        """The far half ends; the near one stays, and is answered with RST when it says something."""
        self.forgotten = True
        _reset(self._far)


async def _pump(
    proxy: Proxy, link: _Link, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Carry one direction to its end: one task takes in and stamps, the other hands over when it is time."""
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD_CHUNKS)
    await _both(_take(proxy, link, reader, queue, way), _hand_over(proxy, queue, writer, way))


async def _both(*work: Coroutine[None, None, None]) -> None:
    """Return when both are done; when one fails, end the other and raise."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _take(
    proxy: Proxy, link: _Link, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]], way: str
) -> None:
    due = 0.0
    while True:
        try:
            data = await reader.read(CHUNK)
        except OSError:
            if not link.forgotten:
                raise
            data = b""
        if link.forgotten:
            await _silent(way, data)
        condition = proxy.condition
        due = max(due, time.monotonic() + condition.delay_s + random.uniform(0, condition.jitter_s))
        await queue.put((due, data))
        if not data:
            return


async def _silent(way: str, data: bytes) -> None:
    """What a forgotten connection does: its client waits for ever, until it says something."""
    if way == UP:
        raise ConnectionResetError("the far side has forgotten this connection")
    await asyncio.Event().wait()


async def _hand_over(
    proxy: Proxy, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, way: str
) -> None:
    while True:
        due, data = await queue.get()
        await asyncio.sleep(max(due - time.monotonic(), 0.0))
        await proxy.passable(way)
        if not data:
            with contextlib.suppress(OSError):
                writer.write_eof()
            return
        for piece in _pieces(data, proxy.condition.bytes_per_s):
            if proxy.condition.bytes_per_s:
                await asyncio.sleep(len(piece) / proxy.condition.bytes_per_s)
            writer.write(piece)
            await writer.drain()
            proxy.carried[way] += len(piece)


def _pieces(data: bytes, bytes_per_s: float | None) -> list[bytes]:
    """A slow line hands over a little ten times a second, not much at once."""
    size = len(data) if bytes_per_s is None else max(int(bytes_per_s / 10), 1)
    return [data[at : at + size] for at in range(0, len(data), size)]


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.create_server((host, port), backlog=BACKLOG)
    listener.setblocking(False)
    return listener


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, so that the other end cannot take it for an orderly one."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing() and connection.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
