"""`levada migrate`: brings the database to the schema of this release.

Services in processes of their own change no schema: they wait until somebody has run this, once per release and before its
services. So a rollout has one place where it can fail, and a service that crashes in a loop can not start migrating in the
middle of the day. What the former release still uses is never taken away in the same step (docs/guides/upgrading.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from levada.cli import screen
from levada.cli.connection import output_option, run_async
from levada.cli.failures import BadUsage, CheckFailed, Unreachable
from levada.cli.settings import config_option, load
from levada.database import Connection
from levada.model.errors import Transient

POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The files that the database lacks, and those of newer releases that it has."""

    pending: Sequence[str]
    newer: Sequence[str]


@click.command()
@click.option("--plan", is_flag=True, help="Show what would be done; change nothing.")
@click.option("--check", is_flag=True, help="As --plan, with exit code 1 when anything is to be done.")
@click.option("--wait", type=float, default=0.0, metavar="SECONDS", help="Wait so long for the database to be there.")
@config_option
@output_option
def migrate(plan: bool, check: bool, wait: float, config: Path | None, output: str) -> None:
    """Bring the database to the schema of this release.

    Any number of these may run at once: one works, the others wait for it. `levada dev` and `levada standalone` do it by
    themselves when they start.
    """
    dsn = load(file=config).config.database.url
    if dsn is None:
        raise BadUsage(
            "database.url is not set (LEVADA_DATABASE_URL): the embedded database is migrated by `levada dev` and "
            "`levada standalone` when they start"
        )
    if plan or check:
        found = run_async(_compare(dsn, wait))
        _show(found.pending, "pending", "nothing is to be done", output, newer=found.newer)
        if check and found.pending:
            raise CheckFailed(f"{len(found.pending)} migration(s) are to be done; `levada migrate` does them")
        return
    _show(run_async(_apply(dsn, wait)), "applied", "nothing was to be done", output)


async def _compare(dsn: str, wait_s: float) -> Comparison:
    from levada.store import migrate

    connection = await _connected(dsn, wait_s)
    try:
        return Comparison(await migrate.pending(connection), await migrate.unknown(connection))
    finally:
        await connection.close(timeout=10)


async def _apply(dsn: str, wait_s: float) -> list[str]:
    from levada.store import migrate

    connection = await _connected(dsn, wait_s)
    try:
        return await migrate.migrate(connection)
    finally:
        await connection.close(timeout=10)


async def _connected(dsn: str, wait_s: float) -> Connection:
    """Return a connection. Raises Unreachable when the database is not there in time."""
    from levada.database import Database

    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while True:
        try:
            return await Database(dsn, name="levada migrate").connect()
        except Transient as error:
            if loop.time() >= deadline:
                raise Unreachable(str(error)) from error
            screen.note(f"waiting for the database: {error}")
            await asyncio.sleep(POLL_S)


def _show(files: Sequence[str], word: str, nothing: str, output: str, *, newer: Sequence[str] = ()) -> None:
    if output == "json":
        screen.document({word: list(files), **({"newer": list(newer)} if word == "pending" else {})})
        return
    for file in files:
        screen.say(f"{word}  {file}")
    for file in newer:
        screen.note(f"the database has {file} of a newer release, which this one works with")
    if not files:
        screen.say(nothing)
