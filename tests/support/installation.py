"""One installation of the real product on a data folder, which outlives its processes: started, killed, asked over HTTP, started again.

The tests that use it know nothing of the code inside: they speak HTTP, send signals, and read the tables of the embedded
Postgres. Whatever they find would be found by a user too.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from product import LEVADA, environment

START_S = 90.0
STOP_S = 60.0
TERMINAL = frozenset({"SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"})


@dataclass(frozen=True)
class Answer:
    """What the server said; `status` is what a client sees, `seconds` how long it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Client:
    """One connection, opened again when it was lost. Raises OSError or HTTPException when nobody answers."""

    def __init__(self, port: int, timeout_s: float = 30.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        data = body.encode() if isinstance(body, str) else body
        asked = time.monotonic()
        try:
            self._connection.request(method, path, data, dict(headers or {}))
            response = self._connection.getresponse()
            return Answer(response.status, dict(response.headers.items()), response.read(), time.monotonic() - asked)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()


@dataclass
class Installation:
    """`env` configures every start; a start may add to it."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port = self.port or free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._client = Client(self.port)

    # -- life ------------------------------------------------------------------------------------------------------
    @property
    def data(self) -> Path:
        return self.folder / ".levada"

    @property
    def log(self) -> str:
        """Everything that its processes printed."""
        return (self.folder / "server.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def launch(self, **env: str) -> None:
        """Start a process and do not wait for it."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        settings = {"LEVADA_MANAGEMENT_PORT": "0", "LEVADA_LOG_LEVEL": "info", **self.env, **env}
        with (self.folder / "server.log").open("ab") as out:
            self.process = subprocess.Popen(
                [*LEVADA, "standalone", "--port", str(self.port)],
                cwd=self.folder,
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def start(self, **env: str) -> Self:
        """Start a process and return when it is healthy."""
        self.launch(**env)
        self.wait_healthy()
        return self

    def wait_healthy(self, seconds: float = START_S) -> float:
        """Return how long it took until /health says UP."""
        begun = time.monotonic()
        while not self.healthy():
            assert self.process is not None
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.log[-3000:]}"
            assert time.monotonic() - begun < seconds, f"not healthy after {seconds} s:\n{self.log[-3000:]}"
            time.sleep(0.02)
        return time.monotonic() - begun

    def healthy(self) -> bool:
        try:
            answer = self._client.request("GET", "/health")
        except (OSError, http.client.HTTPException):
            return False
        return answer.status == 200 and answer.json().get("status") == "UP"

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL; nothing of the process can react."""
        self.end(signal.SIGKILL)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to end and return its exit code."""
        return self.end(number)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.exit_code()

    def exit_code(self, seconds: float = STOP_S) -> int:
        """Wait until the process ends by itself."""
        assert self.process is not None
        self._client.close()
        return self.process.wait(seconds)

    def close(self) -> None:
        """For the end of a test, however it went: nothing of it stays."""
        if self.alive():
            try:
                self.end(signal.SIGINT)
            except subprocess.TimeoutExpired:
                self.kill()
        self._client.close()
        postmaster = self.postmaster()
        if postmaster is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(postmaster, signal.SIGQUIT)

    def postmaster(self) -> int | None:
        """Return the process id of the embedded Postgres if it lives."""
        try:
            pid = int((self.data / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(pid, 0)
        except (OSError, ValueError, IndexError):
            return None
        return pid

    def rss_mib(self) -> float:
        """Return the resident memory of the Python process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    # -- HTTP ------------------------------------------------------------------------------------------------------
    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self._client.request(method, path, body, headers)

    def api(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
        """Ask the API of the default tenant; `path` begins after it."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(method, f"/api/v1/main{path}", body, given)

    def deploy(self, source: str) -> None:
        answer = self.api("POST", "/flows", source, content_type="application/x-yaml")
        assert answer.status == 200, answer.text

    def begin(self, flow: str, **query: str) -> str:
        """Start an execution of `chaos.<flow>` and return its id; it is accepted now."""
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        answer = self.api("POST", f"/executions/{flow.replace('.', '/')}?{asked}")
        assert answer.status == 200, answer.text
        return str(answer.json()["id"])

    def execution(self, id_: str) -> dict[str, Any] | None:
        """Return an execution as the API shows it; None while it is not there or cannot be read."""
        answer = self.api("GET", f"/executions/{id_}")
        if answer.status in (404, 503):
            return None
        assert answer.status == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def state(self, id_: str) -> str | None:
        found = self.execution(id_)
        return None if found is None else str(found["state"]["current"])

    def ended(self, id_: str, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until an execution has ended and return it."""
        wait_until(lambda: self.state(id_) in TERMINAL, f"execution {id_} to end", seconds, self)
        found = self.execution(id_)
        assert found is not None
        return found

    def logs(self, id_: str) -> list[str]:
        return [str(line["message"]) for line in self.api("GET", f"/logs/{id_}").json()]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(
    condition: Callable[[], bool], what: str, seconds: float = 30.0, installation: Installation | None = None
) -> float:
    """Return after how many seconds the condition held."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            log = installation.log[-3000:] if installation is not None else ""
            raise AssertionError(f"waited {seconds} s in vain for {what}\n{log}")
        time.sleep(0.05)
    return time.monotonic() - begun


def task_runs(execution: Mapping[str, Any], task_id: str) -> list[dict[str, Any]]:
    return [run for run in execution.get("taskRunList") or [] if run["taskId"] == task_id]


def histories(thing: Mapping[str, Any]) -> list[str]:
    """Return the states that an execution or a task run went through."""
    return [entry["state"] for entry in thing["state"]["histories"]]


def marked(marker: str) -> list[int]:
    """Return the living processes with this text in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if marker.encode() in line and state not in (b"Z", b"X"):
            found.append(int(folder.name))
    return found


def shell(path: Path) -> str:
    return shlex.quote(str(path))
