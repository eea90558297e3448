"""What `make cluster` does: a whole cluster on this machine, the example pipeline on it, and with --demo-faults its losses.

The pipeline is the one of `make run`, unchanged: a flow does not know on how many processes it runs. With --demo-faults
one process of every service and a broker are killed while it runs (again, as long as there is somebody to kill), and a
table says who was lost when, when it was back, and how each execution ended. Postgres is left alone: the tasks of the
pipeline work in a database of the same server, and a task whose own database dies has failed.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from run import DATA, FLOWS, NAMESPACE, PIPELINE, database, file_server, run_pipeline, show

from levada.cli import app, follow, screen
from levada.cli.client import Client, Refused, Server
from levada.cli.cluster import Cluster
from levada.cli.cluster.stay import free_port, stay
from levada.cli.commands.cluster import shape, shape_options
from levada.cli.failures import Silent, Unreachable
from levada.runtime.lifecycle import run_process

WORKER_LEASE_S = 5
"""Shorter than the 30 s of production: nobody who watches wants to wait so long for the tasks of a dead worker."""

FIRST_LOSS_S, BETWEEN_LOSSES_S, LONGEST_RUN_S = 1.5, 1.0, 180.0
PAUSE_S = 0.1


@dataclass(slots=True)
class Loss:
    """One process that was killed: when in the life of which execution, and when it was ready again."""

    name: str
    execution: str
    after_s: float
    back_s: float | None = None


@click.command()
@shape_options
@click.option("--port", type=click.IntRange(1, 65_535), help="Port of the API; default 8080, or the next free one.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), default=Path(".levada/cluster"))
@click.option(
    "--demo-faults", "--kill-one-of-each", "losses", is_flag=True, help="Kill one process of each kind while it runs."
)
@click.option("--once", is_flag=True, help="End after the pipeline instead of staying up.")
def main(bus: Any, port: int | None, data_dir: Path, losses: bool, once: bool, **counts: int) -> None:
    """Start a cluster on this machine, deploy the examples, run the pipeline, stay up (Ctrl-C stops everything)."""
    env = {"LEVADA_WORKER_LEASE": str(WORKER_LEASE_S)} if losses else {}
    cluster = Cluster(data_dir, bus=bus, counts=shape(counts), api_port=port or free_port(), env=env, keep=True)
    run_process(functools.partial(_main, cluster, losses, once))


async def _main(cluster: Cluster, losses: bool, once: bool) -> None:
    good = True
    async with stay(cluster, FLOWS) as ended, file_server(DATA) as source, Client(Server(cluster.api_url)) as client:
        await client.put(f"namespaces/{NAMESPACE}/kv/source_url", source)
        await client.put(f"namespaces/{NAMESPACE}/kv/database_url", await database(cluster.dsn))
        work = asyncio.create_task(_with_losses(cluster, client) if losses else _plain(cluster, client))
        await asyncio.wait([work, ended], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            good = work.result()
        else:
            work.cancel()
        if not once:
            await asyncio.wait([ended])
    if not good:
        raise Silent


async def _plain(cluster: Cluster, client: Client) -> bool:
    execution = await run_pipeline(client)
    show(cluster.api_url, execution)
    return follow.current(execution) in follow.GOOD


# --- with losses


async def _with_losses(cluster: Cluster, client: Client) -> bool:
    """Run the pipeline until everybody was killed once under it. Returns whether every execution succeeded."""
    lost: list[Loss] = []
    ends: dict[str, dict[str, Any]] = {}
    victims = _victims(cluster)
    while victims:
        execution = str((await _patient(lambda: client.start(NAMESPACE, PIPELINE, {})))["id"])
        screen.say(f"\nrunning {NAMESPACE}.{PIPELINE}  {execution}")
        begun = time.monotonic()
        ending = asyncio.create_task(_end_of(client, execution))
        await asyncio.wait([ending], timeout=FIRST_LOSS_S)
        while victims and not ending.done():
            loss = Loss(_choose(victims.pop(0), cluster), execution, time.monotonic() - begun)
            lost.append(loss)
            screen.say(f"killing {loss.name}")
            loss.back_s = await _lose(cluster, loss.name)
            await asyncio.wait([ending], timeout=BETWEEN_LOSSES_S)
        ends[execution] = await ending
        state, took = follow.current(ends[execution]), time.monotonic() - begun
        screen.say(f"{screen.state(state)} in {took:.1f}s  {execution}")
    _print(lost, ends)
    return all(follow.current(execution) in follow.GOOD for execution in ends.values())


def _victims(cluster: Cluster) -> list[str]:
    """Return one name of each kind, those first that matter most to a running execution."""
    services = ("worker", "executor", "api", "scheduler", "webhook", "indexer")
    names = [cluster.of(service)[0].name for service in services if cluster.of(service)]
    others = [name for name, _, _ in cluster.backends()]
    return names + [name for name in ("broker-1", "postgres") if name in others]


def _choose(name: str, cluster: Cluster) -> str:
    """Return the worker that runs most processes at this moment in place of any worker."""
    if not name.startswith("worker-"):
        return name
    return max(cluster.of("worker"), key=lambda worker: worker.children()).name


async def _lose(cluster: Cluster, name: str) -> float:
    """Kill and return after how many seconds it was ready again."""
    begun = time.monotonic()
    before = _pid(cluster, name)
    await cluster.kill(name)
    while time.monotonic() - begun < LONGEST_RUN_S:
        if _pid(cluster, name) not in (None, before) and (name not in cluster.processes or cluster.is_ready(name)):
            return time.monotonic() - begun
        await asyncio.sleep(PAUSE_S)
    raise Unreachable(f"{name} did not come back within {LONGEST_RUN_S:.0f} s")


def _pid(cluster: Cluster, name: str) -> int | None:
    pids = {process.name: process.pid for process in cluster.processes.values()}
    return (pids | {name: pid for name, pid, _ in cluster.backends()}).get(name)


async def _end_of(client: Client, execution: str) -> dict[str, Any]:
    """Wait for the end, however often the api goes away meanwhile."""
    while True:
        found = await _patient(lambda: client.get(f"executions/{execution}"))
        if follow.current(found) in follow.TERMINAL:
            return dict(found)
        await asyncio.sleep(PAUSE_S)


async def _patient(call: Any) -> Any:
    """Ask until there is an answer: a caller of a cluster asks again."""
    begun = time.monotonic()
    while True:
        try:
            return await call()
        except (Unreachable, Refused) as error:
            answered = isinstance(error, Refused) and error.status not in (404, 502, 503)
            if answered or time.monotonic() - begun > LONGEST_RUN_S:
                raise
            await asyncio.sleep(PAUSE_S)


def _print(lost: list[Loss], ends: dict[str, dict[str, Any]]) -> None:
    screen.say()
    rows = [
        [loss.name, loss.execution, f"{loss.after_s:.1f}s", f"{loss.back_s:.1f}s", follow.current(ends[loss.execution])]
        for loss in lost
    ]
    screen.table(["killed", "while running", "after", "ready again in", "execution ended"], rows, title="Losses")
    again = sum(
        len(run.get("attempts") or []) > 1 for execution in ends.values() for run in execution.get("taskRunList") or []
    )
    screen.say(f"\n{len(ends)} executions, {len(lost)} processes killed, {again} task runs with a second attempt")


if __name__ == "__main__":
    sys.exit(app.guarded(functools.partial(main, standalone_mode=False)))
