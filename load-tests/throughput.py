"""Two-task executions (OutputValues, then Log) over HTTP: how many a second for a minute, and how fast at 100 a second.

    python load-tests/throughput.py [--rate 900] [--seconds 60]

Every start is acknowledged only after its commit. Afterwards the backlog must drain: all executions must be SUCCESS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import urllib.request

import http_load
import server as servers

FLOW = """
id: two-tasks
namespace: bench
tasks:
  - id: values
    type: io.kestra.plugin.core.output.OutputValues
    values:
      greeting: "hello {{ execution.id }}"
  - id: log
    type: io.kestra.plugin.core.log.Log
    message: "{{ outputs.values.values.greeting }}"
"""
PATH = "/api/v1/main/executions/bench/two-tasks"


def total(server: servers.Server, query: str) -> int:
    with urllib.request.urlopen(f"{server.url}/api/v1/main/executions/search?size=1&{query}") as answer:
        return int(json.load(answer)["total"])


async def sustained(server: servers.Server, rate: float, seconds: float) -> None:
    request = http_load.post(PATH, server.port)
    await http_load.run("127.0.0.1", server.port, request, rate=200, seconds=3, connections=16)
    before = server.cpu_s()
    done_before = total(server, "namespace=bench&state=SUCCESS")
    result = await http_load.run("127.0.0.1", server.port, request, rate=rate, seconds=seconds, connections=64)
    drained = time.monotonic()
    wanted = done_before + result.sent - result.failed
    while (done := total(server, "namespace=bench&state=SUCCESS")) < wanted and time.monotonic() - drained < 60:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    drain_s = time.monotonic() - drained
    python, postgres = (after - since for after, since in zip(server.cpu_s(), before, strict=True))
    made = done - done_before
    print(f"sustained: asked {rate:.0f}/s for {seconds:.0f} s: {made / (result.seconds + drain_s):.0f} executions/s")
    print(f"  sent {result.sent}, failed {result.failed}, ended SUCCESS {made}, backlog drained in {drain_s:.2f} s")
    print(f"  start acknowledged p50 {result.quantile(0.5) * 1e3:.1f} ms, p99 {result.quantile(0.99) * 1e3:.1f} ms")
    print(f"  CPU per execution: Python {python / made * 1e3:.2f} ms, Postgres {postgres / made * 1e3:.2f} ms")
    print(f"  resident memory of Python afterwards: {server.rss_mib():.0f} MiB")


async def latency(server: servers.Server, rate: float, seconds: float) -> None:
    request = http_load.post(f"{PATH}?wait=true", server.port)
    await http_load.run("127.0.0.1", server.port, request, rate=50, seconds=2, connections=16)
    result = await http_load.run("127.0.0.1", server.port, request, rate=rate, seconds=seconds, connections=32)
    print(
        f"request to end at {rate:.0f}/s for {seconds:.0f} s: min {min(result.latencies) * 1e3:.1f} ms, "
        f"p50 {result.quantile(0.5) * 1e3:.1f} ms, p99 {result.quantile(0.99) * 1e3:.1f} ms, failed {result.failed}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=900)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    print(servers.machine())
    with servers.running() as server:
        servers.deploy(server, FLOW)
        asyncio.run(latency(server, 100, min(20.0, options.seconds)))
        asyncio.run(sustained(server, options.rate, options.seconds))


if __name__ == "__main__":
    main()
