"""`--input name=value`: what a person types becomes what the server parses.

Values stay text: the server converts them to the declared types, and its message for a wrong one is better than ours.
`name=@path` sends the content of a file (as an upload), `name=@@text` a value that begins with `@`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from levada.cli.failures import BadUsage

input_option = click.option(
    "--input",
    "-i",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input; NAME=@FILE uploads a file. Repeatable.",
)
label_option = click.option("--label", "-l", "labels", multiple=True, metavar="KEY=VALUE", help="A label. Repeatable.")


def parse_inputs(given: Sequence[str]) -> dict[str, str | Path]:
    """Return inputs by name; a `Path` is a file to upload. Raises BadUsage naming the option that is wrong."""
    inputs: dict[str, str | Path] = {}
    for text in given:
        name, value = split(text, "--input")
        if value.startswith("@@"):
            inputs[name] = value[1:]
        elif value.startswith("@"):
            inputs[name] = _file(name, value[1:])
        else:
            inputs[name] = value
    return inputs


def parse_labels(given: Sequence[str]) -> list[str]:
    """Return labels as the API takes them, `key:value`."""
    return [":".join(split(text, "--label")) for text in given]


def split(text: str, option: str) -> tuple[str, str]:
    """Return the two sides of the first `=`. Raises BadUsage when there is none."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise BadUsage(f"{option} {text}: write it as NAME=VALUE")
    return name.strip(), value


def _file(name: str, path_text: str) -> Path:
    path = Path(path_text).expanduser()
    if not path.is_file():
        raise BadUsage(f"--input {name}=@{path_text}: there is no such file")
    return path
