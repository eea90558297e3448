"""Services as processes of their own over one database, for tests that need them apart: api, executor and workers.

They are the real product (`levada serve …`), found over HTTP; each has a data folder of its own, and workers reach the
rest through the gateway only.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from installation import TERMINAL, free_port
from product import LEVADA, Process

TOKEN = "the-workers-token-of-the-tests"
READY_S = 30.0
HIDDEN = ("LEVADA_DATABASE_", "LEVADA_STORAGE_", "SECRET_")
"""What workers are not told."""


class Service:
    """One process, with the ports it was told to use."""

    def __init__(self, name: str, kind: str, folder: Path, env: dict[str, str], told: Callable[[], str]) -> None:
        self._told = told
        self.name, self.kind = name, kind
        self.port, self.management = free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        ports = {"LEVADA_PORT": str(self.port), "LEVADA_MANAGEMENT_PORT": str(self.management)}
        self.process = Process(*LEVADA, "serve", kind, cwd=folder, env={**ports, **env})
        self._ended = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def health(self, what: str = "readiness") -> dict[str, Any]:
        """What the management port says; empty while nobody answers there."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, body = request(self.management, "GET", f"/health/{what}")
            assert status in (200, 503)
            return dict(body)
        return {}

    def wait_ready(self, seconds: float = READY_S) -> Service:
        self.wait_until(lambda: self.health().get("status") == "UP", seconds)
        return self

    def wait_until(self, condition: Any, seconds: float = READY_S) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{self.name}: {self.health()}{self._told()}"
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = READY_S) -> int:
        self._ended = True
        return self.process.end(number, seconds)

    def close(self) -> None:
        if not self._ended:
            self.process.kill()


class Apart:
    """All services of one test."""

    def __init__(self, folder: Path, dsn: str, **env: str) -> None:
        self.folder = folder
        self.env = {
            "LEVADA_DATABASE_URL": dsn,
            "LEVADA_STORAGE_URL": (folder / "storage").as_uri(),
            "LEVADA_WORKER_TOKEN": TOKEN,
            "LEVADA_WORKER_LEASE": "3",
            "LEVADA_WORKER_KILL_GRACE": "1",
            "LEVADA_SERVER_SHUTDOWN_GRACE": "10",
            "LEVADA_BUS_PARTITIONS": "4",
            "SECRET_PASSWORD": "aHVudGVyMg==",
            **env,
        }
        self.services: dict[str, Service] = {}

    def start(self, kind: str, name: str | None = None, **env: str) -> Service:
        name = name or kind
        own = dict(self.env)
        if kind == "worker":
            own = {name: told for name, told in own.items() if not name.startswith(HIDDEN)}
            own["LEVADA_WORKER_GATEWAY_URL"] = ",".join(
                each.url for each in self.services.values() if each.kind == "api"
            )
        started = Service(
            name, kind, self.folder / name, {**own, "LEVADA_DATA_DIR": str(self.folder / name), **env}, self.told
        )
        self.services[name] = started
        return started

    def close(self) -> None:
        for each in reversed(self.services.values()):
            each.close()

    # what a client does

    def deploy(self, source: str) -> None:
        status, body = self.request("POST", "/api/v1/main/flows", source, {"Content-Type": "application/x-yaml"})
        assert status == 200, body

    def run(self, flow: str, namespace: str = "company.team", **headers: str) -> str:
        status, body = self.request("POST", f"/api/v1/main/executions/{namespace}/{flow}", headers=headers)
        assert status == 200, body
        return str(body["id"])

    def execution(self, id: str) -> dict[str, Any]:
        status, body = self.request("GET", f"/api/v1/main/executions/{id}")
        assert status == 200, body
        return dict(body)

    def ended(self, id: str, seconds: float = 30.0) -> dict[str, Any]:
        return self.until(id, lambda found: found["state"]["current"] in TERMINAL, seconds)

    def until(self, id: str, condition: Any, seconds: float = 30.0) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            found = self.execution(id)
            if condition(found):
                return found
            assert time.monotonic() < deadline, json.dumps(found, indent=1)[:4000] + self.told()
            time.sleep(0.05)

    def logs(self, id: str, has: str = "", seconds: float = 20.0) -> list[str]:
        """The lines of an execution, as soon as one holds `has`: an indexer writes them a little later."""
        deadline = time.monotonic() + seconds
        while True:
            lines = self._logs(id)
            if not has or any(has in line for line in lines):
                return lines
            assert time.monotonic() < deadline, f"{has!r} is in none of {lines}" + self.told()
            time.sleep(0.1)

    def _logs(self, id: str) -> list[str]:
        status, body = self.request("GET", f"/api/v1/main/logs/{id}")
        assert status == 200, body
        return [f"{line['level']} {line['message']}" for line in body]

    def request(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        problem: Exception | None = None
        for each in self.services.values():
            if each.kind == "api":
                try:
                    return request(each.port, method, path, body, headers)
                except OSError as error:
                    problem = error
        raise AssertionError(f"no api answers: {problem}")

    def told(self) -> str:
        return "".join(f"\n--- {name}\n" + "\n".join(s.process.lines[-30:]) for name, s in self.services.items())


@contextlib.contextmanager
def apart(folder: Path, dsn: str, **env: str) -> Iterator[Apart]:
    made = Apart(folder, dsn, **env)
    try:
        yield made
    finally:
        made.close()


def request(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if data else None
    finally:
        connection.close()
