"""`levada dead-letters`: messages that could not be read or applied."""

from __future__ import annotations

import json
from typing import Any

import click

from levada.cli import screen
from levada.cli.connection import Wanted, output_option, server_options, talk


@click.group()
def dead_letters() -> None:
    """List, show, replay and drop messages that could not be applied."""


@dead_letters.command("list")
@click.option("--topic", help="Only of this topic.")
@click.option("--key", help="Only with this key: the id of an execution, for commands.")
@click.option("--handled", is_flag=True, help="Also those that were replayed or dropped.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many, newest first.")
@output_option
@server_options
def list_(wanted: Wanted, topic: str | None, key: str | None, handled: bool, limit: int, output: str) -> None:
    """List dead letters, newest first."""
    query = {"topic": topic, "key": key, "handled": handled, "size": limit}
    found = talk(wanted, lambda client: client.get("dead-letters", **query))
    if output == "json":
        screen.document(found)
        return
    rows = [
        [str(one["id"]), screen.date_time(one["date"]), one["topic"], one["key"], one["state"], one["reason"]]
        for one in found["results"]
    ]
    screen.table(["id", "date", "topic", "key", "state", "reason"], rows)
    screen.note(f"{len(rows)} of {found['total']}")


@dead_letters.command()
@click.argument("letter", type=int)
@output_option
@server_options
def show(wanted: Wanted, letter: int, output: str) -> None:
    """Show one with its message and the error."""
    found = talk(wanted, lambda client: client.get(f"dead-letters/{letter}"))
    if output == "json":
        screen.document(found)
        return
    for name in ("id", "state", "date", "topic", "partition", "offset", "key", "reason", "handledDate", "handledBy"):
        if found.get(name) is not None:
            screen.say(f"{name.ljust(12)} {found[name]}")
    if found.get("detail"):
        screen.say(f"\n{found['detail']}")
    ((form, body),) = found["body"].items()
    screen.say(f"\nmessage ({form}, {found['size']} bytes):")
    screen.say(json.dumps(body, indent=2, ensure_ascii=False) if form == "json" else str(body))


@dead_letters.command()
@click.argument("letters", type=int, nargs=-1, required=True)
@server_options
def replay(wanted: Wanted, letters: tuple[int, ...]) -> None:
    """Send messages again, to where they were going."""
    for letter in letters:
        found = talk(wanted, _posted(letter))
        screen.note(f"dead letter {letter} of {found['topic']} was sent again")


@dead_letters.command()
@click.argument("letters", type=int, nargs=-1, required=True)
@server_options
def drop(wanted: Wanted, letters: tuple[int, ...]) -> None:
    """Decide that messages are not needed; they are kept, marked as dropped."""
    for letter in letters:
        found = talk(wanted, _deleted(letter))
        screen.note(f"dead letter {letter} of {found['topic']} is dropped")


def _posted(letter: int) -> Any:
    return lambda client: client.post(f"dead-letters/{letter}/replay")


def _deleted(letter: int) -> Any:
    return lambda client: client.delete(f"dead-letters/{letter}")
