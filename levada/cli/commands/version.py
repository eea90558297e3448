"""`levada version`."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from levada.cli import screen
from levada.cli.connection import output_option


@click.command()
@output_option
def version(output: str) -> None:
    """Print the version."""
    facts = {"levada": metadata.version("levada"), "python": platform.python_version(), "platform": platform.platform()}
    if output == "json":
        screen.document(facts)
    else:
        screen.say(f"levada {facts['levada']} (Python {facts['python']}, {facts['platform']})")
