"""The options that set up a server, and how they become its configuration.

Options are the last of the four sources (defaults < `levada.yml` < environment < options); which values are right is
decided by `levada.runtime.config`, so an option and a variable of the same setting are refused in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from levada.cli.failures import BadUsage
from levada.runtime.config import ConfigError, Loaded
from levada.runtime.config import load as load_config

F = TypeVar("F", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file; default levada.yml if there is one.",
)

_OPTIONS = [
    click.option("--host", metavar="ADDRESS", help="Address to listen on; default 127.0.0.1."),
    click.option("--port", metavar="PORT", help="Port of API and UI; default 8080, 0 for any free one."),
    click.option("--data-dir", metavar="FOLDER", help="Folder of database and files; default .levada."),
    click.option("--flows", metavar="FOLDER", help="Deploy the flow files of this folder and keep them live."),
    config_option,
]


def server_settings(command: F) -> F:
    """Add the options of `dev` and `standalone`; they arrive as host, port, data_dir, flows and config."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def load(options: Mapping[str, Any] | None = None, *, file: Path | None = None) -> Loaded:
    """Return the configuration. Raises BadUsage with every problem and its place."""
    try:
        return load_config(options, file=file)
    except ConfigError as error:
        raise BadUsage(str(error)) from error
