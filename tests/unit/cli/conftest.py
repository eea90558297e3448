"""A server of a few lines that answers what a test told it to, so that the client speaks real HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from levada.cli.client import Client, Server


class FakeApi:
    """`answers` maps `METHOD path` (below the tenant) to what is answered: JSON, a status, or a list for a stream."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.headers: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        key = f"{request.method} {request.raw_path.split('?')[0].removeprefix('/api/v1/main/')}"
        self.asked.append((key, dict(request.query), await request.read()))
        self.headers.append(dict(request.headers))
        answer = self.answers.get(key, 404)
        if isinstance(answer, Callable):
            answer = answer()
        if isinstance(answer, list):
            return await self._stream(request, answer)
        if isinstance(answer, int):
            return web.json_response({"message": f"status {answer}"}, status=answer)
        if isinstance(answer, tuple):
            return web.json_response(answer[1], status=answer[0])
        return web.json_response(answer)

    async def _stream(self, request: web.Request, events: list[Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(b": keep-alive\n\nid: progress\ndata: " + json.dumps(event).encode() + b"\n\n")
        return response


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[Client]:
    async with Client(Server(url=api.url)) as client:
        yield client
