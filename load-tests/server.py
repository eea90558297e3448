"""A Levada of its own for a benchmark: started from this checkout in a fresh data folder, measured from outside."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Server:
    """A running server. `process` is the Python process; Postgres is its child."""

    url: str
    port: int
    process: subprocess.Popen[bytes]
    data: Path
    started_s: float

    def cpu_s(self) -> tuple[float, float]:
        """Return the CPU seconds that Python and Postgres have used so far."""
        python = cpu_of(self.process.pid)
        return python, sum(cpu_of(pid) for pid in postgres_pids(self.data))

    def rss_mib(self) -> float:
        """Return the resident memory of the Python process."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * PAGE / 2**20


def postgres_pids(data: Path) -> list[int]:
    """Return the postmaster of a data folder and its children, those of ended connections included in theirs."""
    pid_file = next(data.rglob("postmaster.pid"), None)
    if pid_file is None:
        return []
    postmaster = int(pid_file.read_text().splitlines()[0])
    found = [postmaster]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                stat = (entry / "stat").read_text()
                if int(stat.rpartition(")")[2].split()[1]) == postmaster:
                    found.append(int(entry.name))
    return found


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def start(data: Path, **environment: str) -> Server:
    """Start a server on a data folder and wait until /health answers."""
    port = free_port()
    env = {**os.environ, "LEVADA_LOG_LEVEL": "warning", "LEVADA_MANAGEMENT_PORT": "0", **environment}
    command = [sys.executable, "-m", "levada", "standalone", "--port", str(port), "--data-dir", str(data)]
    begun = time.monotonic()
    with (data / "server.log").open("wb") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, cwd=data)
    url = f"http://127.0.0.1:{port}"
    while time.monotonic() - begun < 60:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2).close()
            return Server(url, port, process, data, time.monotonic() - begun)
        except OSError:
            time.sleep(0.01)
    process.kill()
    raise SystemExit(f"the server did not start:\n{(data / 'server.log').read_text()[-2000:]}")


def stop(server: Server) -> None:
    server.process.send_signal(signal.SIGINT)
    server.process.wait(timeout=60)


@contextlib.contextmanager
def running(**environment: str) -> Iterator[Server]:
    """A server in a fresh folder for as long as the context lasts."""
    data = Path(tempfile.mkdtemp(prefix="levada-bench-"))
    server = start(data, **environment)
    try:
        yield server
    finally:
        stop(server)
        shutil.rmtree(data, ignore_errors=True)


def deploy(server: Server, source: str) -> None:
    request = urllib.request.Request(
        f"{server.url}/api/v1/main/flows", source.encode(), {"Content-Type": "application/x-yaml"}, method="POST"
    )
    urllib.request.urlopen(request).close()


def machine() -> str:
    """One line about what the figures were measured on."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}, load {load:.1f} before the run"
