"""Workers in processes of their own, end to end: api, executor and worker as `levada serve` starts them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apart import Apart, apart, request
from installation import free_port

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
    trace = "0af7651916cd43dd8448eb211c80319c"
    id = services.run("hello", traceparent=f"00-{trace}-b7ad6b7169203331-01")
    found = services.ended(id)
    assert found["state"]["current"] == "SUCCESS", services.logs(id)
    lines = services.logs(id, has="the secret")
    assert "INFO the secret is ******" in lines
    assert f"INFO TRACEPARENT=00-{trace}-b7ad6b7169203331-01" in services.logs(id, has="TRACEPARENT"), (
        "the caller's own"
    )
    assert not any("DATABASE" in line or "hunter2" in line or "TOKEN" in line for line in lines)
    assert not any("LEVADA_DATABASE_URL" in value for value in worker_environment(worker.process.pid))
    assert rss_mib(worker.process.pid) < 120
    assert worker.stop() == 0


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def running(execution: dict[str, Any]) -> bool:
    return any(run["state"]["current"] == "RUNNING" for run in execution.get("taskRunList") or [])


def attempts(execution: dict[str, Any]) -> list[str]:
    return [attempt["state"]["current"] for attempt in execution["taskRunList"][0]["attempts"]]


def test_a_killed_worker_loses_its_lease_and_another_runs_the_next_attempt(services: Apart) -> None:
    first = services.start("worker", "one").wait_ready()
    services.deploy(SLEEP)
    id = services.run("sleep")
    services.until(id, running)
    services.start("worker", "two").wait_ready()
    first.stop(signal.SIGKILL)
    found = services.ended(id)
    assert found["state"]["current"] == "SUCCESS"
    assert len(attempts(found)) == 2
    services.logs(id, has="the worker was lost: attempt 2 follows")


def test_a_stop_lets_a_task_finish_and_gives_back_what_does_not(services: Apart) -> None:
    patient = services.start("worker", "patient").wait_ready()
    services.deploy(SLEEP)
    id = services.run("sleep")
    services.until(id, running)
    assert patient.stop() == 0
    assert attempts(services.ended(id, 5)) == ["SUCCESS"]

    hasty = services.start("worker", "hasty", LEVADA_SERVER_SHUTDOWN_GRACE="2").wait_ready()
    id = services.run("sleep")
    services.until(id, running)
    services.start("worker", "next").wait_ready()
    assert hasty.stop() == 0
    found = services.ended(id)
    assert found["state"]["current"] == "SUCCESS"
    assert len(attempts(found)) == 2
    services.logs(id, has="the worker stopped and gave the attempt back")


def test_a_worker_outlives_its_gateways(services: Apart) -> None:
    other = services.start("api", "other").wait_ready()
    worker = services.start("worker").wait_ready()
    services.deploy(SLEEP)
    id = services.run("sleep")
    services.until(id, running)
    services.services.pop("api").stop(signal.SIGKILL)
    assert attempts(services.ended(id)) == ["SUCCESS"]
    assert attempts(services.ended(services.run("sleep"))) == ["SUCCESS"]

    id = services.run("sleep")
    services.until(id, running)
    other.stop(signal.SIGKILL)
    worker.wait_until(lambda: worker.health().get("status") == "DOWN")
    assert "does not answer" in str(worker.health())
    assert worker.health("liveness")["status"] == "UP"
    again = services.start("api", "again", LEVADA_PORT=str(other.port))
    again.port = other.port
    again.wait_ready()
    worker.wait_ready()
    found = services.ended(id)
    assert found["state"]["current"] == "SUCCESS"


def test_a_frozen_gateway_costs_no_task(services: Apart) -> None:
    services.start("api", "other").wait_ready()
    worker = services.start("worker").wait_ready()
    services.deploy(SLEEP.replace("sleep 4", "sleep 8"))
    id = services.run("sleep")
    services.until(id, running)
    used = worker.health()["details"]["gateway"]["details"]["url"]
    frozen = next(name for name, each in services.services.items() if each.url == used)
    pid = services.services[frozen].process.pid
    os.kill(pid, signal.SIGSTOP)
    stopped = services.services.pop(frozen)
    try:
        found = services.ended(id)
        assert (found["state"]["current"], attempts(found)) == ("SUCCESS", ["SUCCESS"])
        assert attempts(services.ended(services.run("sleep"))) == ["SUCCESS"]
    finally:
        os.kill(pid, signal.SIGCONT)
        stopped.close()


def test_a_worker_waits_for_its_gateway_and_says_why(tmp_path: Path, database: str) -> None:
    with apart(tmp_path, database) as services:
        port = free_port()
        worker = services.start("worker", LEVADA_WORKER_GATEWAY_URL=f"http://127.0.0.1:{port}")
        worker.wait_until(lambda: "does not answer" in str(worker.health()))
        wrong = services.start(
            "worker", "wrong", LEVADA_WORKER_GATEWAY_URL=f"http://127.0.0.1:{port}", LEVADA_WORKER_TOKEN="guessed"
        )
        api = services.start("api", LEVADA_PORT=str(port))
        api.port = port
        api.wait_ready()
        worker.wait_ready()
        wrong.wait_until(lambda: "wrong token" in str(wrong.health()))
        assert wrong.health()["status"] == "DOWN"
        assert "LEVADA_WORKER_TOKEN" in wrong.process.wait_for("wrong token")
        assert wrong.stop() == 0
        status, body = request(port, "POST", "/api/v1/worker/renew", "{}", {"Authorization": "Bearer guessed"})
        assert (status, body["kind"]) == (401, "Unwelcome")


def worker_environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0") if os.path.exists("/proc") else []
