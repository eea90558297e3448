"""Workers in processes of their own, end to end: api, executor and worker as `levada serve` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from apart import Apart, apart

HELLO = """\
id: hello
namespace: company.team
tasks:
  - id: write
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {type: io.kestra.plugin.core.runner.Process}
    outputFiles: ["out.txt"]
    commands:
      - echo "the secret is {{ secret('PASSWORD') }}"
      - echo -n "{{ execution.id }}" > out.txt
      - env
  - id: read
    type: io.kestra.plugin.core.output.OutputValues
    values:
      text: "{{ read(outputs.write.outputFiles['out.txt']) }}"
  - id: keep
    type: io.kestra.plugin.core.kv.Set
    key: seen
    value: "{{ execution.id }}"
"""

SLEEP = """\
id: sleep
namespace: company.team
tasks:
  - id: sleep
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {type: io.kestra.plugin.core.runner.Process}
    commands:
      - sleep 4
"""


@pytest.fixture
def services(tmp_path: Path, database: str) -> Iterator[Apart]:
    with apart(tmp_path, database) as made:
        made.start("api")
        made.start("executor")
        made.start("indexer")
        yield made


def test_a_flow_runs_through_the_gateway(services: Apart) -> None:
    worker = services.start("worker")
    for each in services.services.values():
        each.wait_ready()
    services.deploy(HELLO)
    id = services.run("hello")
    found = services.ended(id)
    assert found["state"]["current"] == "SUCCESS", services.logs(id)
    lines = services.logs(id, has="the secret")
    assert "INFO the secret is ******" in lines
    assert not any("DATABASE" in line or "hunter2" in line or "TOKEN" in line for line in lines)
    assert not any("LEVADA_DATABASE_URL" in value for value in worker_environment(worker.process.pid))
    assert worker.stop() == 0


def worker_environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0") if os.path.exists("/proc") else []
