"""`levada cluster`: the distributed form of Levada on one machine, to try it out and to see it fail over."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from levada.cli.cluster.settings import START_ORDER, Counts

F = TypeVar("F", bound=Callable[..., Any])


def shape_options(command: F) -> F:
    """Add the options that say what the cluster consists of; see `shape`."""
    for name in reversed((*START_ORDER, "brokers")):
        option = name if name == "brokers" else f"{name}s"
        default = getattr(Counts(), name)
        text = "Kafka brokers: 1 or 3" if name == "brokers" else f"Processes of the service {name}"
        command = click.option(
            f"--{option}", name, type=click.IntRange(0), default=default, show_default=True, help=f"{text}."
        )(command)
    return click.option(
        "--bus",
        type=click.Choice(["kafka", "postgres"]),
        default="kafka",
        show_default=True,
        help="What carries messages; kafka needs Java and starts brokers of its own.",
    )(command)


def shape(given: dict[str, int]) -> Counts:
    """Return the counts out of what click parsed."""
    return Counts(**{name: given[name] for name in (*START_ORDER, "brokers")})


@click.command()
@shape_options
@click.option("--port", type=click.IntRange(1, 65_535), help="Port of the API; default 8080, or the next free one.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".levada/cluster"),
    show_default=True,
    help="Folder of everything that the cluster keeps.",
)
@click.option(
    "--flows",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Deploy this folder and keep it live.",
)
def cluster(bus: Any, port: int | None, data_dir: Path, flows: Path | None, **counts: int) -> None:
    """Run every service as processes of its own on this machine.

    Postgres and the brokers are started too. A process that dies is started again; Ctrl-C stops everything. Everything
    listens on loopback only, without sign-in.
    """
    from levada.cli.cluster import Cluster
    from levada.cli.cluster.stay import free_port, stay
    from levada.runtime.lifecycle import run_process

    made = Cluster(data_dir, bus=bus, counts=shape(counts), api_port=port or free_port(), keep=True)
    run_process(functools.partial(_serve, made, flows, stay))


async def _serve(cluster: Any, flows: Path | None, stay: Callable[..., Any]) -> None:
    async with stay(cluster, flows) as ended:
        await asyncio.wait([ended])
