"""`levada dev` and `levada standalone`: everything in one process."""

from __future__ import annotations

from pathlib import Path

import click

from levada.cli.settings import load, server_settings
from levada.runtime.config.layers import DEFAULT

kafka_option = click.option(
    "--kafka", is_flag=True, help="Run a Kafka beside it and use that as the bus; needs Java 17 or newer."
)


@click.command()
@server_settings
@kafka_option
@click.option("--prune", is_flag=True, help="Delete flows from the server when they leave the folder.")
def dev(
    host: str | None,
    port: str | None,
    data_dir: str | None,
    flows: str | None,
    kafka: bool,
    config: Path | None,
    prune: bool,
) -> None:
    """Run everything for development, with a folder of flows kept live.

    On a loopback address nobody has to sign in, also where an account is configured.
    """
    from levada.cli.standalone import is_private, serve
    from levada.runtime.lifecycle import run_process

    options = {"host": host, "port": port, "data_dir": data_dir, "flows": flows}
    loaded = load(options, file=config)
    if is_private(loaded.config):
        options["auth.mode"] = "none"
    if loaded.sources["log.level"] == DEFAULT:
        # The person wants to see flows and their errors here, not what the services tell each other.
        options["log.level"] = "warning"
    loaded = load(options, file=config)
    run_process(lambda: serve(loaded, prune=prune, with_kafka=kafka))


@click.command()
@server_settings
@kafka_option
def standalone(
    host: str | None, port: str | None, data_dir: str | None, flows: str | None, kafka: bool, config: Path | None
) -> None:
    """Run all services in one process."""
    from levada.cli.standalone import serve
    from levada.runtime.lifecycle import run_process

    loaded = load({"host": host, "port": port, "data_dir": data_dir, "flows": flows}, file=config)
    run_process(lambda: serve(loaded, with_kafka=kafka))
