"""One statement out of many: the parts of a commit as common table expressions.

A round trip costs more than what most of these parts do, so a batch travels as a single statement, which is a transaction
of its own. Its parts run against one snapshot and must not touch the same row. They share a gate:

    held    the owner rows under our epochs, locked
    found   the executions that stand where we read them, locked
    gate    one row if both are complete, else none

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


def composed(held: Sequence[Any], found: Sequence[Any], parts: Sequence[Part]) -> tuple[str, list[Any]]:
    """Return the statement and its parameters.

    It answers one row per owner row held: partition, the next offset of its out log, and how many executions were found.
    """
    wanted = len(found[0]) if found else 0
    arguments: list[Any] = [len(held[0]), wanted, *held, *found]
    for _, values in parts:
        arguments.extend(values)
    return _text(bool(found), tuple((name, len(values)) for name, values in parts)), arguments


@cache
def _text(with_found: bool, parts: tuple[tuple[str, int], ...]) -> str:
    """Return the text for these parts: there are few combinations, and each is prepared once per connection."""
    next_parameter = 3
    tables = [f"held AS (\n{_shifted('held', next_parameter)}\n)"]
    next_parameter += 5
    if with_found:
        tables.append(f"found AS (\n{_shifted('found', next_parameter)}\n)")
        next_parameter += 2
    else:
        tables.append("found AS (SELECT WHERE false)")
    tables.append(
        "gate AS MATERIALIZED (\n"
        "SELECT WHERE (SELECT count(*) FROM held) = $1::int AND (SELECT count(*) FROM found) = $2::int\n)"
    )
    tables.append(f"move AS (\n{SQL['move']}\n)")
    for name, size in parts:
        tables.append(f"{name} AS (\n{_shifted(name, next_parameter)}\n)")
        next_parameter += size
    answer = "SELECT part, coalesce(out_next, out_before), (SELECT count(*) FROM found) FROM held"
    return "WITH " + ", ".join(tables) + f"\n{answer}"


def _shifted(name: str, first: int) -> str:
    """Return a part's text with its parameters counted from `first`."""
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + first - 1}", SQL[name])
