"""`levada serve`: one service as a process of its own.

The services are found by entry point, so that the command line imports none of them.
"""

from __future__ import annotations

from importlib.metadata import entry_points

import click

from levada.cli.failures import CannotStart

GROUP = "levada.services"
SERVICES = ("api", "webhook", "scheduler", "executor", "worker", "indexer")


@click.command()
@click.argument("service", type=click.Choice(SERVICES))
def serve(service: str) -> None:
    """Run one service."""
    found = entry_points(group=GROUP, name=service)
    if not found:
        raise CannotStart(f"the service {service} is not installed: no entry point {service} in group {GROUP}")
    (entry,) = found
    try:
        main = entry.load()
    except ModuleNotFoundError as error:
        if error.name is None or not entry.module.startswith(error.name):
            raise
        raise CannotStart(
            f"this version of Levada has no separate {service} service yet; `levada standalone` runs all there are"
        ) from error
    main()
