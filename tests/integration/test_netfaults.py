"""The proxy that spoils lines: each fault is what its name says, and ends when it is healed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from netfaults import Proxy

from levada.bus.broker import ports

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SILENCE_S = 0.4


class Echo:
    """Answers every line with the same line; `heard` is what arrived."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.lost = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(line)
                await writer.drain()
        except OSError:
            self.lost += 1
        writer.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def line(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with Proxy(server.sockets[0].getsockname()) as proxy:
        yield proxy
    server.close()


@pytest.fixture
async def connect(line: Proxy) -> AsyncIterator[Callable[[], Awaitable[Connection]]]:
    made: list[Connection] = []

    async def make() -> Connection:
        made.append(await asyncio.open_connection(line.host, line.port))
        return made[-1]

    yield make
    for _, writer in made:
        writer.transport.abort()
    await asyncio.sleep(0)


async def say(connection: Connection, text: bytes = b"hello\n") -> bytes:
    reader, writer = connection
    writer.write(text)
    return await reader.readline()


async def silence(work: Awaitable[object]) -> None:
    """Hold that nothing comes of this for a while."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work, SILENCE_S)


async def test_it_carries_both_ways_and_ends_with_either_side(line: Proxy, connect) -> None:
    reader, writer = await connect()
    assert await say((reader, writer), b"x" * 50_000 + b"\n") == b"x" * 50_000 + b"\n"
    writer.write_eof()
    assert await reader.read() == b""
    await asyncio.sleep(0.05)
    assert line.open == 0
    assert line.carried == {"up": 50_001, "down": 50_001}


async def test_a_delay_is_each_way_and_keeps_many_bytes_under_way(line: Proxy, connect) -> None:
    connection = await connect()
    line.delay(0.1)
    begun = time.monotonic()
    assert await say(connection) == b"hello\n"
    assert 0.2 <= time.monotonic() - begun < 0.6
    reader, writer = connection
    begun = time.monotonic()
    for _ in range(20):
        writer.write(b"more\n")
        await asyncio.sleep(0.01)
    for _ in range(20):
        await reader.readline()
    assert time.monotonic() - begun < 1.5, "messages wait for each other"


async def test_a_throttled_line_takes_its_time(line: Proxy, connect) -> None:
    connection = await connect()
    line.throttle(100_000)
    begun = time.monotonic()
    await say(connection, b"x" * 30_000 + b"\n")
    assert time.monotonic() - begun >= 0.3
    line.heal()
    begun = time.monotonic()
    await say(connection, b"x" * 30_000 + b"\n")
    assert time.monotonic() - begun < 0.3


async def test_a_dropped_line_is_silent_and_hands_over_later(line: Proxy, echo: Echo, connect) -> None:
    connection = await connect()
    await say(connection)
    line.drop()
    connection[1].write(b"late\n")
    await silence(asyncio.shield(asyncio.ensure_future(asyncio.sleep(SILENCE_S * 2))))
    assert echo.heard == [b"hello\n"]
    line.heal()
    assert await asyncio.wait_for(connection[0].readline(), 5) == b"late\n"


async def test_on_a_dropped_line_nobody_connects(line: Proxy, connect) -> None:
    line.drop()
    await silence(connect())
    await silence(connect())
    line.heal()
    assert await say(await asyncio.wait_for(connect(), 10)) == b"hello\n"
    assert line.accepted <= 3, "what filled the queue was taken for clients"


async def test_where_answers_are_lost_the_work_is_done(line: Proxy, echo: Echo, connect) -> None:
    connection = await connect()
    await say(connection)
    line.drop(up=False)
    connection[1].write(b"work\n")
    await asyncio.sleep(SILENCE_S)
    assert echo.heard == [b"hello\n", b"work\n"]
    line.heal()
    assert await asyncio.wait_for(connection[0].readline(), 5) == b"work\n"


async def test_where_requests_are_lost_answers_still_come(line: Proxy, echo: Echo, connect) -> None:
    connection = await connect()
    line.delay(0.2)
    connection[1].write(b"under way\n")
    await asyncio.sleep(0.3)
    line.drop(down=False)
    connection[1].write(b"lost\n")
    assert await asyncio.wait_for(connection[0].readline(), 5) == b"under way\n"
    await asyncio.sleep(SILENCE_S)
    assert echo.heard == [b"under way\n"]


async def test_a_reset_breaks_both_sides_and_lets_others_in(line: Proxy, echo: Echo, connect) -> None:
    connection = await connect()
    await say(connection)
    line.reset()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(connection[0].readline(), 5)
    await asyncio.sleep(0.05)
    assert echo.lost == 1
    assert await say(await connect()) == b"hello\n"


async def test_a_refusing_line_is_a_dead_server(line: Proxy, connect) -> None:
    connection = await connect()
    await say(connection)
    line.refuse()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(connection[0].readline(), 5)
    with pytest.raises(ConnectionRefusedError):
        await connect()
    line.heal()
    assert await say(await connect()) == b"hello\n"


async def test_a_half_open_connection_is_found_out_by_speaking(line: Proxy, echo: Echo, connect) -> None:
    old = await connect()
    await say(old)
    line.half_open()
    await asyncio.sleep(0.05)
    assert echo.lost == 1, "the server has lost it"
    await silence(old[0].readline())
    new = await connect()
    assert await say(new) == b"hello\n"
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(say(old), 5)


async def test_a_target_that_is_away_looks_like_one(line: Proxy, connect) -> None:
    line.target = ("127.0.0.1", ports.free("127.0.0.1", 1)[0])
    reader, _ = await connect()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.readline(), 5)


async def test_a_target_may_be_a_unix_socket(echo: Echo, tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(echo.serve, tmp_path / "socket")
    async with Proxy(tmp_path / "socket") as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        assert await say((reader, writer)) == b"hello\n"
        writer.close()
        await writer.wait_closed()
    server.close()
