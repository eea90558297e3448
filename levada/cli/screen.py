"""What commands print: tables, log lines, states and JSON.

Results go to stdout, everything about the way there to stderr, so that a script may read the one and a person see both.
Colour and tables drawn by `rich` are for terminals only; into a pipe go plain lines, in the same order. `--output json`
prints exactly one JSON document whose keys are those of the REST API and stay what they are.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

COLOURS: Mapping[str, str] = {
    "SUCCESS": "green",
    "WARNING": "yellow",
    "FAILED": "red",
    "KILLED": "red",
    "CANCELLED": "red",
    "KILLING": "yellow",
    "RUNNING": "blue",
    "PAUSED": "magenta",
    "RETRYING": "yellow",
    "SKIPPED": "bright_black",
    "ERROR": "red",
    "WARN": "yellow",
    "INFO": "cyan",
    "DEBUG": "bright_black",
    "TRACE": "bright_black",
}
"""Colours of states and log levels."""

CELL_LIMIT = 100
"""Characters of a value in a table; the JSON output has all of it."""


def is_terminal() -> bool:
    return sys.stdout.isatty()


def say(text: str = "") -> None:
    """Print one line of result."""
    click.echo(text)


def note(text: str) -> None:
    """Print one line about what goes on; never part of the result."""
    click.echo(text, err=True)


def document(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def state(name: str, width: int = 0) -> str:
    """Return a state or level, coloured where colours are shown, padded to `width` characters."""
    return click.style(name.ljust(width), fg=COLOURS.get(name.strip()))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table: drawn on a terminal, aligned columns in a pipe."""
    cells = [[cell(value) for value in row] for row in rows]
    if is_terminal():
        _drawn(columns, cells, title)
        return
    if title:
        say(title)
    widths = [max(len(column), *(len(row[i]) for row in cells), 0) for i, column in enumerate(columns)]
    for row in [[column.upper() for column in columns], *cells]:
        say("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _drawn(columns: Sequence[str], cells: Sequence[Sequence[str]], title: str | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        drawn.add_column(column)
    for row in cells:
        drawn.add_row(*(Text(text, style=COLOURS.get(text, "")) for text in row))
    Console().print(drawn)


def cell(value: Any) -> str:
    """Return a value as one short line."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= CELL_LIMIT else text[: CELL_LIMIT - 1] + "…"


def clock_time(stamp: str) -> str:
    """Return an ISO time as local `hh:mm:ss.mmm`."""
    return datetime.fromisoformat(stamp).astimezone().strftime("%H:%M:%S.%f")[:-3]


def date_time(stamp: str | None) -> str:
    """Return an ISO time as local date and time, or nothing."""
    return "" if not stamp else datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(text: str | None) -> str:
    """Return an ISO duration as a person says it: `0.4s`, `12s`, `3m 5s`, `2h 10m`."""
    found = DURATION.fullmatch(text or "")
    if found is None:
        return text or ""
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    whole = days * 86_400 + hours * 3600 + minutes * 60 + seconds
    if whole < 60:
        return f"{whole:.1f}s" if whole < 10 else f"{whole:.0f}s"
    minutes, seconds = divmod(round(whole), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:.0f}h {minutes:.0f}m" if hours else f"{minutes:.0f}m {seconds:.0f}s"


DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def log_line(entry: Mapping[str, Any]) -> str:
    """Return one log entry of the REST API as a line; its further lines are indented below."""
    level, task = str(entry.get("level", "INFO")), str(entry.get("taskId") or "-")
    head = f"{clock_time(entry['timestamp'])} {state(level, 5)} {click.style(task, bold=True)}"
    first, *more = str(entry.get("message", "")).split("\n")
    return "\n".join([f"{head} {first}", *(f"    {line}" for line in more)])
