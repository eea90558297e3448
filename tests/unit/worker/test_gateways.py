"""A worker's end of the gateway: several of them, slow ones, dying ones, and answers that no gateway gave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from levada.files.port import Stat
from levada.model.errors import Transient, UserError
from levada.model.jobs import Held
from levada.runtime import wire
from levada.runtime.clock import SystemClock
from levada_worker.gateway.connection import Gateways, NotSent
from levada_worker.gateway.files import HttpFiles
from levada_worker.gateway.services import HttpServices

HELD = Held("e", "t", 1, "x")
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Fake:
    """A server that answers as a test says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.handler: Handler | None = None
        self.url = ""
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)

    async def start(self) -> Fake:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.handler is not None:
            return await self.handler(request)
        return web.Response(body=wire.encode([]))


@pytest.fixture
async def servers() -> AsyncIterator[list[Fake]]:
    made = [await Fake().start() for _ in range(2)]
    yield made
    for one in made:
        await one.stop()


@pytest.fixture
async def gateways(servers: list[Fake]) -> AsyncIterator[Gateways]:
    made = Gateways([one.url for one in servers], "token", SystemClock(), worker="w")
    yield made
    await made.close()


async def renew(gateways: Gateways, **options: Any) -> Any:
    return await gateways.ask("/renew", {}, list[Held], **options)


def first_and_other(servers: list[Fake]) -> tuple[Fake, Fake]:
    """Which one the worker began with."""
    first = next(one for one in servers if one.asked)
    return first, next(one for one in servers if one is not first)


async def test_one_gateway_is_asked_as_long_as_it_answers(gateways: Gateways, servers: list[Fake]) -> None:
    assert gateways.trouble is not None
    for _ in range(5):
        await renew(gateways)
    assert sorted(len(one.asked) for one in servers) == [0, 5]
    assert gateways.trouble is None


async def test_the_next_one_is_asked_when_it_dies(
    gateways: Gateways, servers: list[Fake], caplog: pytest.LogCaptureFixture
) -> None:
    await renew(gateways)
    first, other = first_and_other(servers)
    with caplog.at_level(logging.INFO):
        await first.stop()
        await renew(gateways)
        await renew(gateways)
    assert len(other.asked) == 2
    assert gateways.trouble is None
    assert "another one is asked" in caplog.text
    assert f"now asks the gateway at {other.url}" in caplog.text


async def test_a_slow_one_is_given_up_and_the_other_asked(gateways: Gateways, servers: list[Fake]) -> None:
    await renew(gateways)
    first, other = first_and_other(servers)

    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    first.handler = slow
    assert await renew(gateways, answer_s=0.1) == []
    assert len(other.asked) == 1


async def test_what_changes_the_world_is_not_sent_twice(gateways: Gateways, servers: list[Fake]) -> None:
    await renew(gateways)
    first, other = first_and_other(servers)

    async def breaks(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    first.handler = breaks
    with pytest.raises(Transient, match="no gateway answers"):
        await renew(gateways, again=False)
    assert not other.asked
    await renew(gateways)
    assert len(other.asked) == 1


async def test_when_none_answers_that_is_said_once_and_so_is_the_end_of_it(
    servers: list[Fake], caplog: pytest.LogCaptureFixture
) -> None:
    server = servers[0]
    gateways = Gateways([server.url], None, SystemClock(), worker="w")
    await server.stop()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            with pytest.raises(Transient, match="no gateway answers"):
                await renew(gateways)
        with pytest.raises(Transient, match="does not answer"):
            await gateways.check()
    assert caplog.text.count("the worker has no gateway and keeps trying") == 1
    await gateways.close()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, b"<html>busy</html>", "no answer of a gateway"),
        (500, b"", "no answer of a gateway"),
        (503, wire.encode(wire.Refusal(family="transient", kind="New", message="away")), "away"),
    ],
)
async def test_answers_that_may_get_better_are_transient(
    gateways: Gateways, servers: list[Fake], status: int, body: bytes, expected: str
) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=body)

    for one in servers:
        one.handler = answer
    with pytest.raises(Transient, match=expected):
        await renew(gateways)
    assert gateways.trouble is not None


async def test_a_proxy_that_finds_nobody_behind_it_is_not_the_last_word(
    gateways: Gateways, servers: list[Fake]
) -> None:
    await renew(gateways)
    first, other = first_and_other(servers)

    async def bad_gateway(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=502, body=b"bad gateway")

    first.handler = bad_gateway
    await renew(gateways)
    assert len(other.asked) == 1


async def test_an_error_of_an_unknown_kind_keeps_its_family(gateways: Gateways, servers: list[Fake]) -> None:
    async def refuses(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=422, body=wire.encode(wire.Refusal(family="user", kind="Newer", message="no")))

    for one in servers:
        one.handler = refuses
    with pytest.raises(UserError, match="no"):
        await renew(gateways)
    assert gateways.trouble is None


async def test_what_a_task_asks_outlasts_a_restart_of_all_gateways(gateways: Gateways, servers: list[Fake]) -> None:
    away = True

    async def comes_back(_: web.BaseRequest) -> web.StreamResponse:
        if away:
            return web.Response(status=502)
        return web.Response(body=b"null")

    for one in servers:
        one.handler = comes_back
    asking = asyncio.create_task(HttpServices(gateways, HELD, HttpFiles(gateways, HELD)).kv.get("n", "k"))
    await asyncio.sleep(0.5)
    assert not asking.done()
    away = False
    assert await asyncio.wait_for(asking, 10) is None


async def test_a_request_that_never_left_is_one_that_did_nothing(servers: list[Fake]) -> None:
    for one in servers:
        await one.stop()
    gateways = Gateways([one.url for one in servers], None, SystemClock(), worker="w")
    with pytest.raises(NotSent):
        await renew(gateways)
    await gateways.close()


class TestDownloads:
    """A file of 300,000 bytes whose server breaks off after every 100,000."""

    CONTENT = b"".join(b"%09d\n" % number for number in range(30_000))

    def serve(self, servers: list[Fake], versions: list[str]) -> None:
        async def part(request: web.BaseRequest) -> web.StreamResponse:
            offset = int(request.query["offset"])
            rest = self.CONTENT[offset:]
            response = web.StreamResponse(headers={wire.VERSION_HEADER: versions.pop(0)})
            response.content_length = len(rest)
            await response.prepare(request)
            await response.write(rest[:100_000])
            await asyncio.sleep(0.05)
            if len(rest) > 100_000:
                assert request.transport is not None
                request.transport.close()
            return response

        for one in servers:
            one.handler = part

    async def test_go_on_where_they_broke_off(self, gateways: Gateways, servers: list[Fake]) -> None:
        self.serve(servers, ["1"] * 3)
        got = [chunk async for chunk in HttpFiles(gateways, HELD).get("kestra:///a")]
        assert b"".join(got) == self.CONTENT
        assert sum(len(one.asked) for one in servers) == 3

    async def test_do_not_go_on_in_another_file(self, gateways: Gateways, servers: list[Fake]) -> None:
        self.serve(servers, ["1", "2"])
        with pytest.raises(Transient, match="was replaced while it was read"):
            await HttpFiles(gateways, HELD).read("kestra:///a")


async def test_an_upload_that_can_be_read_again_is_sent_again(gateways: Gateways, servers: list[Fake]) -> None:
    await renew(gateways)
    first, other = first_and_other(servers)
    got: list[int] = []

    async def takes(request: web.BaseRequest) -> web.StreamResponse:
        got.append(len(await request.content.read()))
        return web.Response(body=wire.encode(Stat(uri="kestra:///a", size=got[-1], modified=0)))

    other.handler = takes
    await first.stop()
    assert (await HttpFiles(gateways, HELD).put("kestra:///a", b"x" * 1_000_000)).size == 1_000_000
    assert got == [1_000_000]
