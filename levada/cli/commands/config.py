"""`levada config`: what the settings are and where each comes from."""

from __future__ import annotations

from pathlib import Path

import click

from levada.cli import screen
from levada.cli.connection import output_option
from levada.cli.settings import config_option, load
from levada.runtime.config.layers import DEFAULT


@click.group()
def config() -> None:
    """Show the configuration and where each value comes from."""


@config.command()
@click.option("--changed", is_flag=True, help="Leave out what has its default value.")
@click.argument("prefix", default="")
@config_option
@output_option
def show(prefix: str, changed: bool, output: str, config: Path | None) -> None:
    """Show every setting, or those whose path begins with PREFIX, with its source; secrets are masked."""
    shown = [one for one in load(file=config).show() if one.path.startswith(prefix)]
    if changed:
        shown = [one for one in shown if one.source != DEFAULT]
    if output == "json":
        screen.document(
            [{"path": one.path, "value": one.value, "source": one.source, "variable": one.variable} for one in shown]
        )
        return
    screen.table(["setting", "value", "source"], [[one.path, one.value, one.source] for one in shown])
