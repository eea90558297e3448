"""One execution is one trace through four services, each a process of its own, into what its tasks start and call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from collector import Collector, Span, collecting

from levada.cli.cluster import Cluster, Counts

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(180)]

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FLOW = """\
id: traced
namespace: e2e
inputs:
  - {id: url, type: STRING, defaults: "URL"}
tasks:
  - id: shell
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {type: io.kestra.plugin.core.runner.Process}
    commands:
      - 'echo "::{\\"outputs\\": {\\"parent\\": \\"$TRACEPARENT\\"}}::"'
  - id: remember
    type: io.kestra.plugin.core.kv.Set
    key: seen
    value: "{{ outputs.shell.vars.parent }}"
  - id: call
    type: io.kestra.plugin.core.http.Request
    uri: "{{ inputs.url }}"
triggers:
  - {id: hook, type: io.kestra.plugin.core.trigger.Webhook, key: a-secret-key}
"""


class Called:
    """A server that a task calls, and what it was sent along."""

    def __init__(self) -> None:
        self.url, self.parents = "", list[str | None]()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.parents.append(request.headers.get("traceparent"))
        return web.Response(text="ok")


@pytest.fixture
async def called() -> AsyncIterator[Called]:
    called = Called()
    runner = web.ServerRunner(web.Server(called), handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    called.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield called
    await runner.cleanup()


async def test_one_execution_is_one_trace_through_four_services(tmp_path: Path, called: Called) -> None:
    async with collecting() as collector:
        env = {"LEVADA_TELEMETRY_OTLP_ENDPOINT": collector.url, "LEVADA_LOG_FORMAT": "json"}
        counts = Counts(executor=1, scheduler=1, worker=1, api=1, webhook=1, indexer=1)
        async with Cluster(tmp_path, counts=counts, env=env) as cluster, aiohttp.ClientSession() as session:
            execution = await ran(cluster, session, FLOW.replace("URL", called.url))
            spans = await _all_of(collector, execution["id"])
            logs = {process.service: process.log.read_text() for process in cluster.processes.values()}
    own = {span.id: span for span in spans}
    (request,) = [span for span in spans if span.parent == CALLER]
    assert request.service == "levada-webhook"
    assert "a-secret-key" not in str(collector.spans)
    (root,) = [span for span in spans if span.name == "execution e2e.traced"]
    assert root.parent == request.id
    assert all(span.parent == CALLER or span.parent in own for span in spans), "every span hangs on another"
    services = {span.service.removeprefix("levada-") for span in spans}
    assert services == {"webhook", "executor", "worker", "api"}
    attempts = {span.name: span for span in spans if span.name.startswith("attempt ")}
    assert set(attempts) == {"attempt shell", "attempt remember", "attempt call"}
    assert {span.parent for span in attempts.values()} == {root.id}
    shell = execution["taskRunList"][0]["outputs"]["vars"]["parent"]
    assert shell == f"00-{TRACE}-{attempts['attempt shell'].id}-01", "the task's own TRACEPARENT"
    assert called.parents == [f"00-{TRACE}-{attempts['attempt call'].id}-01"]
    gateway = [span for span in spans if span.service == "levada-api"]
    assert {span.parent for span in gateway} <= {span.id for span in attempts.values()}
    assert any(span.name == "decide" and span.parent == root.id for span in spans)
    assert root.start_us <= min(span.start_us for span in attempts.values())
    assert all(json.loads(line)["service"] == service for service, text in logs.items() for line in text.splitlines())


async def ran(cluster: Cluster, session: aiohttp.ClientSession, source: str) -> dict[str, Any]:
    """Deploy the flow, start it by its webhook within the caller's trace, and return its end."""
    root = f"{cluster.api_url}/api/v1/main"
    async with session.post(f"{root}/flows", data=source) as made:
        assert made.status == 200, await made.text()
    hook = f"{cluster.webhook_url}/api/v1/main/executions/webhook/e2e/traced/a-secret-key"
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    async with session.post(hook, json={}, headers=headers) as started:
        assert started.status == 200, await started.text()
        id_ = (await started.json())["id"]
    async with asyncio.timeout(60):
        while True:
            async with session.get(f"{root}/executions/{id_}") as answer:
                found = await answer.json() if answer.status == 200 else {}
            if found.get("state", {}).get("current") in ("SUCCESS", "FAILED"):
                assert found["state"]["current"] == "SUCCESS", found
                return dict(found)
            await asyncio.sleep(0.1)


async def _all_of(collector: Collector, execution_id: str) -> list[Span]:
    """Return the spans of the trace when those of all three attempts and of the execution have come."""
    await collector.until("execution e2e.traced", "attempt shell", "attempt remember", "attempt call", timeout_s=20)
    await asyncio.sleep(1.5)  # each process sends what it has once a second
    return [span for span in collector.spans if span.trace == TRACE]
