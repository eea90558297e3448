"""One statement out of many: the parts of a commit as common table expressions.

A round trip costs more than what most of these parts do, so a batch travels as a single statement, which is a transaction
of its own. Its parts run against one snapshot and must not touch the same row. They share a gate:

    held    the owner rows under our epochs, locked
    found   the executions that stand where we read them, locked
    accepted  the commands that were accepted and are not applied yet, locked
    gate    one row if all are complete, else none

Every part that writes asks `EXISTS (SELECT FROM gate)`, so it is all or nothing; the answer tells what was missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from levada.database import Statements

SQL = Statements(Path(__file__).parent / "sql" / "commit")

_PARAMETER = re.compile(r"\$(\d+)")

#: Name of the part (its file) and its parameters.
Part = tuple[str, Sequence[Any]]


def composed(
    held: Sequence[Any], found: Sequence[Any], applied: Sequence[str], parts: Sequence[Part]
) -> tuple[str, list[Any]]:
    """Return the statement and its parameters.

    It answers one row per owner row held: partition, the next offset of its out log, how many executions were found, and
    how many of the commands in `applied` were still waiting.
    """
    wanted = len(found[0]) if found else 0
    arguments: list[Any] = [len(held[0]), wanted, len(applied), *held, *found]
    if applied:
        arguments.append(list(applied))
    for _, values in parts:
        arguments.extend(values)
    return _text(bool(found), bool(applied), tuple((name, len(values)) for name, values in parts)), arguments


@cache
def _text(with_found: bool, with_applied: bool, parts: tuple[tuple[str, int], ...]) -> str:
    """Return the text for these parts: there are few combinations, and each is prepared once per connection."""
    next_parameter = 4
    tables = [f"held AS (\n{shifted(SQL['held'], next_parameter)}\n)"]
    next_parameter += 5
    if with_found:
        tables.append(f"found AS (\n{shifted(SQL['found'], next_parameter)}\n)")
        next_parameter += 2
    else:
        tables.append("found AS (SELECT WHERE false)")
    if with_applied:
        tables.append(f"accepted AS (\n{shifted(SQL['accepted'], next_parameter)}\n)")
        next_parameter += 1
    else:
        tables.append("accepted AS (SELECT WHERE false)")
    complete = " AND ".join(
        f"(SELECT count(*) FROM {name}) = ${number}::int"
        for number, name in enumerate(("held", "found", "accepted"), 1)
    )
    tables.append(f"gate AS MATERIALIZED (\nSELECT WHERE {complete}\n)")
    tables.append(f"move AS (\n{SQL['move']}\n)")
    if with_applied:
        tables.append(f"drop_ingress AS (\n{SQL['drop_ingress']}\n)")
    for name, size in parts:
        tables.append(f"{name} AS (\n{shifted(SQL[name], next_parameter)}\n)")
        next_parameter += size
    answer = (
        "SELECT part, coalesce(out_next, out_before), (SELECT count(*) FROM found), "
        "(SELECT count(*) FROM accepted) FROM held"
    )
    return "WITH " + ", ".join(tables) + f"\n{answer}"


def shifted(text: str, first: int) -> str:
    """Return a part's text with its parameters counted from `first`."""
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + first - 1}", text)
