from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from levada.runtime import management
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.health import Health
from levada.runtime.lifecycle import Lifecycle
from levada.runtime.process_metrics import watch_process
from levada.runtime.watchdog import LoopWatchdog


@pytest.fixture
def health() -> Health:
    return Health(SystemClock())


@pytest.fixture
async def served(health: Health) -> AsyncIterator[aiohttp.ClientSession]:
    listening = await management.listen(health, "127.0.0.1", 0)
    async with aiohttp.ClientSession(listening.url) as session:
        yield session
    await listening.close()


async def get(session: aiohttp.ClientSession, path: str, method: str = "GET") -> tuple[int, str]:
    async with session.request(method, path) as response:
        return response.status, await response.text()


async def test_health_is_answered_with_its_reasons(served: aiohttp.ClientSession, health: Health) -> None:
    assert await get(served, "/health") == (200, '{"name":"levada","status":"UP","details":{}}')

    async def away() -> None:
        raise ConnectionError("no route to host")

    health.register("database", away)
    assert (await get(served, "/health/liveness"))[0] == 200
    for path in ("/health", "/health/readiness"):
        status, text = await get(served, path)
        assert status == 503
        assert json.loads(text)["details"]["database"]["details"] == {"error": "ConnectionError: no route to host"}


async def test_metrics_show_the_process_and_its_checks(served: aiohttp.ClientSession, health: Health) -> None:
    async def well() -> None:
        return None

    health.register("database", well)
    clock = SystemClock()
    forget = watch_process(clock, "executor", watchdog=LoopWatchdog(clock), lifecycle=Lifecycle(clock))
    for path in ("/metrics", "/prometheus"):
        status, text = await get(served, path)
        assert status == 200
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert float(values["process_resident_memory_bytes"]) > 1_000_000
        assert float(values["process_cpu_seconds_total"]) > 0
        assert float(values["process_open_fds"]) > 3
        assert values['levada_health_check{check="database"}'] == "1"
        assert values["levada_loop_lag_seconds"] == "0"
        assert any(name.startswith('levada_service_info{service="executor",version=') for name in values)
    forget()


async def test_what_is_not_there_says_what_is(served: aiohttp.ClientSession) -> None:
    status, text = await get(served, "/nothing")
    assert (status, json.loads(text)["message"]) == (
        404,
        "there is nothing at /nothing; there are /health and /metrics",
    )
    assert (await get(served, "/health", "POST"))[0] == 405
    assert await get(served, "/health", "HEAD") == (200, "")


async def test_the_default_port_gives_way_and_another_does_not(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = Config(management_port=port)
        with pytest.raises(OSError, match="in use"):
            await management.serve(config, health)
        monkeypatch.setattr(management, "Config", lambda: config)
        listening = await management.serve(config, health)
        assert listening.port not in (0, port)
        await listening.close()
