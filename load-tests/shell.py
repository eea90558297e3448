"""200 shell tasks (`true`) in one execution, 8 at a time: how many a second."""

from __future__ import annotations

import json
import time
import urllib.request

import server as servers

FLOW = """
id: shell
namespace: bench
tasks:
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: "{{ range(1, 200) }}"
    concurrencyLimit: 8
    tasks:
      - id: true
        type: io.kestra.plugin.scripts.shell.Commands
        taskRunner:
          type: io.kestra.plugin.core.runner.Process
        commands:
          - "true"
"""


def run(server: servers.Server) -> float:
    begun = time.monotonic()
    request = urllib.request.Request(f"{server.url}/api/v1/main/executions/bench/shell?wait=true", method="POST")
    with urllib.request.urlopen(request, timeout=120) as answer:
        execution = json.load(answer)
    took = time.monotonic() - begun
    assert execution["state"]["current"] == "SUCCESS", execution["state"]
    return took


def main() -> None:
    print(servers.machine())
    with servers.running(LEVADA_WORKER_SLOTS="8") as server:
        servers.deploy(server, FLOW.replace("id: true", 'id: "yes"'))
        run(server)
        times = sorted(run(server) for _ in range(3))
        print(
            f"200 shell tasks, 8 at a time: min {times[0]:.2f} s, median {times[1]:.2f} s: "
            f"{200 / times[0]:.0f} and {200 / times[1]:.0f} tasks/s"
        )


if __name__ == "__main__":
    main()
