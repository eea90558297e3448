"""The real webhook service over real HTTP, on a platform in memory, with the real executor behind it (but no worker)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from levada.runtime.auditing import AuditTrail
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config, Loaded
from levada.runtime.config.tree import Limits, Webhook
from levada.runtime.platform import Platform
from levada.store.port import ExecutionFilter, FlowRow
from levada_executor import main as executor
from levada_webhook.main import compose
from levada_webhook.server import listen

CONFIG = Config(
    port=0,
    limits=Limits(webhook_body=100_000),
    webhook=Webhook(head_timeout=0.4, body_timeout=0.4, memory=1 << 20),
)


@dataclasses.dataclass(slots=True)
class Reply:
    status: int
    body: bytes
    headers: Any

    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A running webhook service and a client that knows its address."""

    def __init__(
        self, platform: Platform, address: tuple[str, int], session: aiohttp.ClientSession, trail: AuditTrail
    ) -> None:
        self.platform, self.session, self.trail = platform, session, trail
        self.host, self.port = address

    async def deploy(self, source: str, id: str = "hooked", **fields: Any) -> None:
        row = FlowRow(namespace="company.team", id=id, revision=0, source=source, updated=0, **fields)
        await self.platform.flows.save(row)

    async def call(self, method: str, path: str, **kind: Any) -> Reply:
        """`path` below /api/v1/main/executions/webhook/company.team/ unless it begins with a slash."""
        full = path if path.startswith("/") else f"/api/v1/main/executions/webhook/company.team/{path}"
        async with self.session.request(method, f"http://{self.host}:{self.port}{full}", **kind) as response:
            return Reply(response.status, await response.read(), response.headers)

    async def post(self, path: str, **kind: Any) -> Reply:
        return await self.call("POST", path, **kind)

    async def executions(self) -> list[Any]:
        """All executions, once the executor has caught up."""
        await asyncio.sleep(0.1)
        found, _ = await self.platform.queries.search("main", ExecutionFilter(), limit=1000)
        return found


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    platform = Platform.in_memory(
        SystemClock(),
        Loaded(config=CONFIG, sources={}, secrets={"HOOK": "from-the-vault"}, envs={}, encryption_key=None),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(executor.run(platform, stop))
    trail = AuditTrail(platform.audit_sink, platform.clock)
    door = compose(platform, trail)
    listening = await listen(door, CONFIG)
    async with aiohttp.ClientSession() as session:
        yield Server(platform, (listening.host, listening.port), session, trail)
    door.stopping = True
    await listening.close()
    stop.set()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await platform.close()
