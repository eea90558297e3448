"""The real API over real HTTP, on a platform in memory, with the real executor behind it (but no worker)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.config.tree import Limits
from levada.runtime.installation_metrics import InstallationMetrics
from levada.runtime.platform import Platform
from levada_api import auth, table
from levada_api.context import Api
from levada_api.main import compose
from levada_api.server import Application, listen
from levada_executor import main as executor

HELLO = """\
id: hello
namespace: company.team
labels:
  team: data
tasks:
  - id: values
    type: io.kestra.plugin.core.output.OutputValues
    values:
      greeting: Hi
  - id: log
    type: io.kestra.plugin.core.log.Log
    message: "{{ outputs.values.values.greeting }} there"
"""


@dataclasses.dataclass(slots=True)
class Reply:
    status: int
    body: bytes
    headers: Any

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        import json

        return json.loads(self.body)


class Server:
    """A running API and a client that knows its address."""

    def __init__(self, api: Api, url: str, session: aiohttp.ClientSession) -> None:
        self.api, self.platform, self.url, self.session = api, api.platform, url, session

    async def call(self, method: str, path: str, **kind: Any) -> Reply:
        """`path` below /api/v1/main unless it begins with /api or is written with `=` in front."""
        if path.startswith("="):
            url = self.url + path[1:]
        else:
            url = self.url + (path if path.startswith("/api/") else "/api/v1/main" + path)
        async with self.session.request(method, url, allow_redirects=False, **kind) as response:
            return Reply(response.status, await response.read(), response.headers)

    async def get(self, path: str, **kind: Any) -> Reply:
        return await self.call("GET", path, **kind)

    async def post(self, path: str, **kind: Any) -> Reply:
        return await self.call("POST", path, **kind)

    async def put(self, path: str, **kind: Any) -> Reply:
        return await self.call("PUT", path, **kind)

    async def delete(self, path: str, **kind: Any) -> Reply:
        return await self.call("DELETE", path, **kind)

    async def deploy(self, source: str) -> dict[str, Any]:
        reply = await self.post("/flows", data=source, headers={"Content-Type": "application/x-yaml"})
        assert reply.status == 200, reply.text
        return dict(reply.json())

    async def start(self, path: str = "company.team/hello", **kind: Any) -> dict[str, Any]:
        reply = await self.post(f"/executions/{path}", **kind)
        assert reply.status == 200, reply.text
        return dict(reply.json())

    async def until(self, execution_id: str, *states: str) -> dict[str, Any]:
        """Ask until the execution is in one of the states."""
        async with asyncio.timeout(5):
            while True:
                found = (await self.get(f"/executions/{execution_id}")).json()
                if found["state"]["current"] in states:
                    return dict(found)
                await asyncio.sleep(0.01)

    async def ran(self, path: str = "company.team/hello", **kind: Any) -> dict[str, Any]:
        """Start and wait for the end."""
        started = await self.start(path, **kind)
        return await self.until(started["id"], "SUCCESS", "FAILED", "WARNING", "KILLED")


@contextlib.asynccontextmanager
async def serving(config: Config, key: bytes | None = None, **session: Any) -> AsyncIterator[Server]:
    clock = SystemClock()
    platform = Platform.in_memory(clock, config)
    platform.encryption_key = key
    api = compose(platform)
    stop = asyncio.Event()
    listening = await listen(
        Application(api, table.router(), api.gate), auth.listen_host(config, api.gate), config.port
    )
    forget = InstallationMetrics(platform).watch()
    working = asyncio.create_task(executor.run(platform, stop))
    try:
        async with aiohttp.ClientSession(**session) as client:
            yield Server(api, listening.url, client)
    finally:
        stop.set()
        forget()
        await listening.close()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await platform.close()


Serve = Callable[..., Awaitable[Server]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers with a configuration of one's own: `await serve(limits=Limits(body=1024))`."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(key: bytes | None = None, **config: Any) -> Server:
            return await stack.enter_async_context(serving(Config(**{"port": 0, **config}), key))

        yield start


@pytest.fixture
async def server(serve: Serve) -> Server:
    return await serve()


@pytest.fixture
async def hello(server: Server) -> Server:
    """A server that has the flow company.team.hello."""
    await server.deploy(HELLO)
    return server


__all__ = ["HELLO", "Limits", "Server"]
