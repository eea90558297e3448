from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from levada.model.errors import Defect, Transient
from levada.store import migrate


@pytest.fixture
async def conn(empty_database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (a int);\nINSERT INTO one VALUES (1);\n")
    (tmp_path / "0002_two.sql").write_text("CREATE TABLE two (b int);\n")
    return tmp_path


async def tables(conn: Any) -> set[str]:
    rows = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows} - {"schema_migration"}


async def test_the_packaged_migrations_apply_and_are_recorded(conn: Any) -> None:
    applied = await migrate.migrate(conn)
    assert applied == [migration.file for migration in migrate.read()]
    assert await migrate.migrate(conn) == []
    assert await migrate.pending(conn) == []


async def test_only_new_files_are_applied(conn: Any, folder: Path) -> None:
    assert await migrate.migrate(conn, folder) == ["0001_one.sql", "0002_two.sql"]
    (folder / "0003_three.sql").write_text("ALTER TABLE one ADD c text")
    assert await migrate.pending(conn, folder) == ["0003_three.sql"]
    assert await migrate.migrate(conn, folder) == ["0003_three.sql"]
    assert await conn.fetchval("SELECT a FROM one") == 1


async def test_pending_changes_nothing(conn: Any, folder: Path) -> None:
    assert await migrate.pending(conn, folder) == ["0001_one.sql", "0002_two.sql"]
    assert await conn.fetchval("SELECT to_regclass('schema_migration')") is None


async def test_a_failing_migration_is_rolled_back_and_names_its_line(conn: Any, folder: Path) -> None:
    (folder / "0003_bad.sql").write_text("CREATE TABLE three (c int);\n\nSELECT nothing FROM one;\n")
    with pytest.raises(migrate.MigrationFailed, match=r"0003_bad\.sql, line 3: column \"nothing\" does not exist"):
        await migrate.migrate(conn, folder)
    assert await tables(conn) == {"one", "two"}
    (folder / "0003_bad.sql").write_text("CREATE TABLE three (c int)")
    assert await migrate.migrate(conn, folder) == ["0003_bad.sql"]


async def test_a_changed_migration_is_refused(conn: Any, folder: Path) -> None:
    await migrate.migrate(conn, folder)
    (folder / "0001_one.sql").write_text("CREATE TABLE one (a bigint);")
    with pytest.raises(migrate.MigrationChanged, match=r"0001_one\.sql"):
        await migrate.migrate(conn, folder)


async def test_line_endings_of_a_checkout_change_no_checksum(conn: Any, folder: Path) -> None:
    await migrate.migrate(conn, folder)
    one = folder / "0001_one.sql"
    one.write_bytes(one.read_bytes().replace(b"\n", b"\r\n"))
    assert await migrate.migrate(conn, folder) == []


async def test_a_database_that_newer_code_added_to_is_used(conn: Any, folder: Path) -> None:
    (folder / "0003_more.sql").write_text("-- Something new.\nCREATE TABLE three (c int)")
    await migrate.migrate(conn, folder)
    (folder / "0003_more.sql").unlink()
    assert await migrate.pending(conn, folder) == []
    assert await migrate.migrate(conn, folder) == []
    assert await migrate.unknown(conn, folder) == ["0003_more.sql"]


async def test_a_database_that_newer_code_took_from_is_refused_by_older_code_only(conn: Any, folder: Path) -> None:
    (folder / "0003_new.sql").write_text("ALTER TABLE one ADD c text")
    (folder / "0004_less.sql").write_text("-- The old column.\n-- needs code of 0003\nALTER TABLE one DROP a")
    await migrate.migrate(conn, folder)
    (folder / "0004_less.sql").unlink()
    assert await migrate.pending(conn, folder) == []  # code of 0003 does not use the column any more
    (folder / "0003_new.sql").unlink()
    with pytest.raises(migrate.DatabaseTooNew, match=r"0004_less \(needs code of 0003\), this release knows 2"):
        await migrate.pending(conn, folder)
    with pytest.raises(migrate.DatabaseTooNew):
        await migrate.migrate(conn, folder)


async def test_a_record_of_before_is_extended(conn: Any, folder: Path) -> None:
    await migrate.migrate(conn, folder)
    await conn.execute("ALTER TABLE schema_migration DROP COLUMN needs_code")
    assert await migrate.pending(conn, folder) == []
    (folder / "0003_less.sql").write_text("-- needs code of 0002\nALTER TABLE one DROP a")
    assert await migrate.migrate(conn, folder) == ["0003_less.sql"]
    assert await conn.fetchval("SELECT needs_code FROM schema_migration WHERE version = 3") == 2


def test_what_a_file_needs_stands_among_its_first_comments() -> None:
    assert migrate.Migration(9, "a", "-- no transaction\n-- needs code of 0007\nDROP INDEX i").needs == 7
    assert not migrate.Migration(9, "a", "-- no transaction\n-- needs code of 0007\nDROP INDEX i").transactional
    assert migrate.Migration(9, "a", "-- needs code of 7\nDROP INDEX i").needs == 0
    assert migrate.Migration(9, "a", "SELECT 1;\n-- needs code of 0007").needs == 0


async def test_a_file_without_transaction_may_build_an_index_concurrently(conn: Any, folder: Path) -> None:
    sql = "CREATE INDEX CONCURRENTLY IF NOT EXISTS one_a ON one (a)"
    (folder / "0003_index.sql").write_text(sql)
    with pytest.raises(migrate.MigrationFailed, match="start the file with the line `-- no transaction`"):
        await migrate.migrate(conn, folder)
    (folder / "0003_index.sql").write_text(f"-- no transaction\n{sql}")
    assert await migrate.migrate(conn, folder) == ["0003_index.sql"]
    assert await conn.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_a'::regclass")


async def test_many_processes_may_migrate_at_once(empty_database: str, folder: Path) -> None:
    (folder / "0003_index.sql").write_text("-- no transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a1 ON one (a)")
    connections = [await asyncpg.connect(empty_database) for _ in range(5)]
    try:
        applied = await asyncio.gather(*(migrate.migrate(connection, folder) for connection in connections))
    finally:
        for connection in connections:
            await connection.close()
    assert sorted(map(len, applied)) == [0, 0, 0, 0, 3]


async def test_a_table_that_others_hold_makes_a_transient_error(
    conn: Any, empty_database: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate.migrate(conn, folder)
    monkeypatch.setattr(migrate, "TABLE_LOCK_TIMEOUT_MS", 50)
    (folder / "0003_three.sql").write_text("ALTER TABLE one ADD c text")
    other = await asyncpg.connect(empty_database)
    try:
        async with other.transaction():
            await other.execute("SELECT * FROM one")
            with pytest.raises(Transient, match=r"0003_three\.sql"):
                await migrate.migrate(conn, folder)
    finally:
        await other.close()
    assert await migrate.migrate(conn, folder) == ["0003_three.sql"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a.sql", "0003_c.sql"], "expected number 0002"),
        (["0001_a.sql", "0001_b.sql"], "expected number 0002"),
        (["1_a.sql"], "named like"),
    ],
)
def test_wrong_numbering_is_a_defect(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(Defect, match=message):
        migrate.read(tmp_path)


def test_needing_what_comes_later_is_a_defect(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("-- needs code of 0002\nSELECT 1")
    with pytest.raises(Defect, match="comes after it"):
        migrate.read(tmp_path)
