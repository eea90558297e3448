"""A server whose answers take as long as they are asked to: work for tasks that costs this machine nothing.

    GET /wait?s=0.2        answered after 0.2 s

`begun` says when each request came, by the clock of this process; benchmarks read from it what workers really did.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import aiohttp
import server
from aiohttp import web

from levada.cli.cluster import Cluster
from levada.cli.cluster.settings import Bus, Counts

FLOW = """
id: {id}
namespace: bench
tasks:
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: "{{{{ range(1, {tasks}) }}}}"
    concurrencyLimit: 0
    tasks:
      - id: wait
        type: io.kestra.plugin.core.http.Request
        uri: "{url}/wait?s={seconds}"
"""


class Waiting:
    """The server; `begun` and `ended` are monotonic times of requests, in order."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.url = ""
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None))

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.begun.append(time.monotonic())
        await asyncio.sleep(float(request.query["s"]))
        self.ended.append(time.monotonic())
        return web.Response(text="done")


@contextlib.asynccontextmanager
async def cluster(bus: Bus, workers: int, **env: str) -> AsyncIterator[Cluster]:
    """One of every service that runs tasks, and so many workers, in a fresh folder."""
    counts = Counts(executor=1, scheduler=0, worker=workers, api=1, webhook=0, indexer=1, brokers=1)
    settings = {"LEVADA_LOG_LEVEL": "warning", **env}
    with tempfile.TemporaryDirectory(prefix="levada-bench-", ignore_cleanup_errors=True) as folder:
        async with Cluster(Path(folder), bus=bus, counts=counts, env=settings) as running:
            yield running


def cpu_s(running: Cluster) -> dict[str, float]:
    """Return the CPU seconds that each service, and Postgres, has used so far."""
    used: dict[str, float] = {}
    for process in running.processes.values():
        if process.pid is not None:
            used[process.service] = used.get(process.service, 0.0) + server.cpu_of(process.pid)
    used["postgres"] = sum(server.cpu_of(pid) for pid in server.postgres_pids(running.folder))
    return used


class Client:
    """What a benchmark asks of the API."""

    def __init__(self, url: str) -> None:
        self._api = f"{url}/api/v1/main"
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def deploy(self, source: str) -> None:
        headers = {"Content-Type": "application/x-yaml"}
        async with self._session.post(f"{self._api}/flows", data=source, headers=headers) as response:
            if response.status != 200:
                raise SystemExit(f"the flow is refused: {await response.text()}")

    async def start(self, flow: str) -> str:
        """Start an execution of namespace `bench` and return its id."""
        async with self._session.post(f"{self._api}/executions/bench/{flow}") as response:
            if response.status != 200:
                raise SystemExit(f"no execution was started: {await response.text()}")
            return str((await response.json())["id"])

    async def state(self, id: str) -> str:
        async with self._session.get(f"{self._api}/executions/{id}") as response:
            return str((await response.json())["state"]["current"])

    async def total(self, flow: str, state: str) -> int:
        params = {"namespace": "bench", "flowId": flow, "state": state, "size": "1"}
        async with self._session.get(f"{self._api}/executions/search", params=params) as response:
            return int((await response.json())["total"])
