"""ForEach over 10,000 items in one execution: an item must cost about what it costs at 100, and memory stays bounded."""

from __future__ import annotations

import json
import time
import urllib.request

import server as servers

FLOW = """
id: loop-{n}
namespace: bench
tasks:
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: "{{{{ range(1, {n}) }}}}"
    concurrencyLimit: {limit}
    tasks:
      - id: log
        type: io.kestra.plugin.core.log.Log
        message: "item {{{{ taskrun.value }}}}"
"""


def run(server: servers.Server, n: int) -> float:
    """Return the seconds from request to end."""
    url = f"{server.url}/api/v1/main/executions/bench/loop-{n}?wait=true"
    begun = time.monotonic()
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=300) as answer:
        execution = json.load(answer)
    took = time.monotonic() - begun
    assert execution["state"]["current"] == "SUCCESS", execution["state"]
    assert len(execution["taskRunList"]) == n + 1
    return took


def main() -> None:
    print(servers.machine())
    with servers.running() as server:
        for n in (100, 10_000):
            servers.deploy(server, FLOW.format(n=n, limit=1))
        run(server, 100)
        small = min(run(server, 100) for _ in range(5))
        idle = server.rss_mib()
        large = run(server, 10_000)
        per_small, per_large = small / 100, large / 10_000
        print(f"ForEach over 100 items: {small:.2f} s; over 10,000: {large:.2f} s")
        print(
            f"  cost per item {per_small * 1e3:.2f} ms and {per_large * 1e3:.2f} ms: ratio {per_large / per_small:.2f}"
        )
        print(f"  resident memory of Python {idle:.0f} MiB before, {server.rss_mib():.0f} MiB after")


if __name__ == "__main__":
    main()
