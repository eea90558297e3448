"""What a person sees of a local cluster: a table of its processes, and a line for whatever changes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from levada.cli import screen
from levada.cli.cluster.cluster import Cluster
from levada.cli.cluster.process import Process

LOOK_EVERY_S = 0.2


def announce(cluster: Cluster) -> None:
    """Print every process and the addresses."""
    rows = [
        [process.name, process.pid, process.port, process.management_port, _mib(process)]
        for process in cluster.processes.values()
    ]
    rows += [[name, pid, port, None, None] for name, pid, port in cluster.backends()]
    screen.table(["process", "pid", "port", "health, metrics", "MiB"], rows, title="All processes are ready")
    lines = {
        "api": f"{cluster.api_url}  (in front of {len(cluster.of('api'))}; for commands: export LEVADA_URL={cluster.api_url})",
        "webhooks": cluster.webhook_url if cluster.of("webhook") else "none",
        "database": cluster.dsn,
        "kafka": cluster.bootstrap or "none: the bus is in Postgres",
        "logs": f"{cluster.folder}/<process>/log",
    }
    for name, text in lines.items():
        screen.note(f"  {name.ljust(8)} {text}")


async def follow(cluster: Cluster, say: Callable[[str], None] = screen.note) -> None:
    """Print a line whenever a process dies, comes back or changes its readiness; until cancelled."""
    seen = _look(cluster)
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        now = _look(cluster)
        for name, (pid, ready) in now.items():
            before_pid, before_ready = seen.get(name, (None, False))
            if pid != before_pid:
                say(_line(f"{name} {_ended(cluster, name) if pid is None else f'runs, process {pid}'}"))
            elif ready != before_ready:
                say(_line(f"{name} is {'ready' if ready else 'not ready'}"))
        seen = now


def ended_by(code: int | None) -> str:
    """Return how a process ended, for a person."""
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _look(cluster: Cluster) -> dict[str, tuple[int | None, bool]]:
    seen = {process.name: (process.pid, cluster.is_ready(process.name)) for process in cluster.processes.values()}
    return seen | {name: (pid, pid is not None) for name, pid, _ in cluster.backends()}


def _ended(cluster: Cluster, name: str) -> str:
    process = cluster.processes.get(name)
    return ended_by(process.exit_code) if process is not None else "is down"


def _line(text: str) -> str:
    return f"{time.strftime('%H:%M:%S')} {text}"


def _mib(process: Process) -> str | None:
    mib = process.rss_mib()
    return None if mib is None else f"{mib:.0f}"
