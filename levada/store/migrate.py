"""Brings a database to the schema that this code expects.

A migration is a file `NNNN_name.sql` in `migrations/`, numbered from 0001 without a gap, that may hold any number of
statements. It is applied once, in one transaction with the line in `schema_migration` that records it, and never edited
afterwards: its checksum is compared on every start.

Files only add in one release and remove in the next, because the release before may still be running: a release works on a
database that newer ones have added to. A file that takes something away says so with a line `-- needs code of NNNN` among
its first comments: only code that knows migration NNNN works with what is left. The number is recorded with the migration,
so that a release that never heard of the file knows whether it must stay away (`DatabaseTooNew`).

A file whose first line is `-- no transaction` is for what Postgres refuses inside one (CREATE INDEX CONCURRENTLY). It holds
exactly one statement and must do no harm when it runs a second time, since a crash can come between it and its record.

Any number of processes may call `migrate` at once: an advisory lock lets one work while the others wait. The lock belongs
to the session, so the connection must reach Postgres itself and not a pooler that hands sessions round.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from levada.model.errors import Defect, Transient, UserError

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "migrations"
LOCK_KEY = 0x6C6576616461
"""The advisory lock's number: `levada` in ASCII."""

LOCK_POLL_S = 0.1
LONGEST_MIGRATION_S = 86_400.0
TABLE_LOCK_TIMEOUT_MS = 30_000
"""Longest wait of a statement for a table that others use; beyond it everybody behind that wait would stand still too."""

FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
NO_TRANSACTION = "-- no transaction"
NEEDS = re.compile(r"-- needs code of (\d{4})")

TABLE = """
CREATE TABLE IF NOT EXISTS schema_migration (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    needs_code integer     NOT NULL DEFAULT 0
);
DO $$ BEGIN
    -- Tables of before have not this column. Adding one that is there already would wait for everybody who reads it.
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'schema_migration'::regclass AND attname = 'needs_code'
    ) THEN
        ALTER TABLE schema_migration ADD COLUMN needs_code integer NOT NULL DEFAULT 0;
    END IF;
END $$"""
RECORD = "INSERT INTO schema_migration (version, name, checksum, needs_code) VALUES ($1, $2, $3, $4)"
APPLIED = """
SELECT version, name, checksum, coalesce((to_jsonb(m) ->> 'needs_code')::integer, 0) AS needs_code
FROM schema_migration AS m
ORDER BY version"""


class DatabaseTooNew(UserError):
    """The database was migrated by a newer release, and this one does not work with what it took away."""


class MigrationFailed(Defect):
    """A migration does not apply; what it did was rolled back."""


class MigrationChanged(Defect):
    """A migration that the database has applied is no longer what it was."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name without number and suffix, its text."""

    version: int
    name: str
    sql: str

    @property
    def file(self) -> str:
        return f"{self.version:04d}_{self.name}.sql"

    @property
    def checksum(self) -> str:
        """A checksum of the text that does not depend on how a checkout ends its lines."""
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()

    @property
    def needs(self) -> int:
        """The migration that code must know to work after this one; 0 for one that only adds."""
        for line in self.sql.splitlines():
            if not line.startswith("--"):
                break
            if found := NEEDS.fullmatch(line.strip()):
                return int(found[1])
        return 0

    @property
    def transactional(self) -> bool:
        return self.sql.split("\n", 1)[0].strip().lower() != NO_TRANSACTION


def read(folder: Path = FOLDER) -> list[Migration]:
    """Return the migrations of a folder in order. Raises Defect for a wrong name, a number used twice or a gap."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        name = FILE_NAME.fullmatch(path.name)
        if name is None:
            raise Defect(f"{path}: a migration is named like 0007_add_labels.sql")
        migrations.append(Migration(int(name[1]), name[2], path.read_text(encoding="utf-8")))
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise Defect(f"{folder / migration.file}: expected number {expected:04d} here, without gap or repetition")
        if migration.needs > migration.version:
            raise Defect(f"{folder / migration.file}: needs code of {migration.needs:04d}, which comes after it")
    return migrations


async def migrate(conn: Any, folder: Path = FOLDER) -> list[str]:
    """Apply what the database lacks, in order, and return the names of the files applied.

    `conn` is an asyncpg connection of its own, outside any transaction. Raises DatabaseTooNew, MigrationChanged,
    MigrationFailed (earlier files stay applied), and Transient when other sessions kept a table locked for too long.
    """
    migrations = read(folder)
    if not _missing(migrations, await _applied(conn)):
        return []
    await _lock(conn)
    try:
        await conn.execute(TABLE)
        missing = _missing(migrations, await _applied(conn))  # again: somebody may have done it while we waited
        for migration in missing:
            log.info("applying migration %s", migration.file)
            await _apply(conn, migration)
        return [migration.file for migration in missing]
    finally:
        if not conn.is_closed():  # a closed session has given the lock back
            await conn.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)


async def pending(conn: Any, folder: Path = FOLDER) -> list[str]:
    """Return the files that the database lacks, changing nothing. Raises what `migrate` raises for other differences."""
    return [migration.file for migration in _missing(read(folder), await _applied(conn))]


async def unknown(conn: Any, folder: Path = FOLDER) -> list[str]:
    """Return the migrations of newer releases that the database has; this release works with them all the same."""
    applied = await _applied(conn)
    migrations = read(folder)
    _missing(migrations, applied)
    return [f"{one.version:04d}_{one.name}.sql" for one in applied if one.version > len(migrations)]


@dataclass(frozen=True, slots=True)
class _Applied:
    """What the database says of a migration."""

    version: int
    name: str
    checksum: str
    needs_code: int


async def _applied(conn: Any) -> list[_Applied]:
    if await conn.fetchval("SELECT to_regclass('schema_migration')") is None:
        return []
    return [_Applied(*row) for row in await conn.fetch(APPLIED)]


def _missing(migrations: Sequence[Migration], applied: Sequence[_Applied]) -> list[Migration]:
    """Compare what is with what should be; return what is still to do."""
    known = len(migrations)
    breaking = [one for one in applied if one.version > known and one.needs_code > known]
    if breaking:
        listed = ", ".join(f"{one.version:04d}_{one.name} (needs code of {one.needs_code:04d})" for one in breaking)
        raise DatabaseTooNew(
            f"the database was migrated by a newer Levada, and this one does not work with it any more: it has {listed}, "
            f"this release knows {known} migrations. Start the newer release, or restore a backup from before."
        )
    for one in applied:
        if one.version > known:
            continue
        version, name, checksum = one.version, one.name, one.checksum
        ours = migrations[version - 1]
        if ours.checksum != checksum:
            raise MigrationChanged(
                f"migration {ours.file} is not the one that the database applied as {version:04d}_{name}.sql: their "
                f"checksums differ. An applied migration is never edited; restore the file and put the change in a new one."
            )
    done = {one.version for one in applied}
    return [migration for migration in migrations if migration.version not in done]


async def _lock(conn: Any) -> None:
    """Take the lock by asking again and again.

    A session that waits inside pg_advisory_lock holds a snapshot, and CREATE INDEX CONCURRENTLY in the session that has
    the lock would wait for that snapshot: both for ever.
    """
    waited = False
    while not await conn.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
        if not waited:
            log.info("another process is migrating the database; waiting for it")
            waited = True
        await asyncio.sleep(LOCK_POLL_S)


async def _apply(conn: Any, migration: Migration) -> None:
    try:
        if migration.transactional:
            async with conn.transaction():
                await conn.execute(f"SET LOCAL lock_timeout = {TABLE_LOCK_TIMEOUT_MS}; SET LOCAL statement_timeout = 0")
                await conn.execute(migration.sql, timeout=LONGEST_MIGRATION_S)
                await conn.execute(RECORD, migration.version, migration.name, migration.checksum, migration.needs)
        else:
            await conn.execute(migration.sql, timeout=LONGEST_MIGRATION_S)
            await conn.execute(RECORD, migration.version, migration.name, migration.checksum, migration.needs)
    except asyncpg.LockNotAvailableError as error:
        raise Transient(
            f"migration {migration.file} waited {TABLE_LOCK_TIMEOUT_MS / 1000:.0f} s for a table that others use: {error}"
        ) from error
    except asyncpg.PostgresError as error:
        raise MigrationFailed(f"{_place(migration, error)}: {error}{_advice(migration, error)}") from error


def _place(migration: Migration, error: asyncpg.PostgresError) -> str:
    """Return `file, line n` where Postgres says where in the text it stumbled, else the file."""
    position = getattr(error, "position", None)
    if not position:
        return f"migration {migration.file}"
    return f"migration {migration.file}, line {migration.sql[: int(position)].count(chr(10)) + 1}"


def _advice(migration: Migration, error: asyncpg.PostgresError) -> str:
    if isinstance(error, asyncpg.ActiveSQLTransactionError):
        if migration.transactional:
            return f" (start the file with the line `{NO_TRANSACTION}`)"
        return f" (a file marked `{NO_TRANSACTION}` holds exactly one statement)"
    return ""
