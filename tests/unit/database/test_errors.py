"""What Postgres and asyncpg raise is Transient exactly when trying again may help."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from levada.database import Statements, touched, translated
from levada.model.errors import Defect, Transient


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("refused"),
        FileNotFoundError("no socket"),
        TimeoutError(),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.AdminShutdownError("shutting down"),
        asyncpg.CrashShutdownError("crash"),
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.SerializationError("again"),
        asyncpg.LockNotAvailableError("lock"),
        asyncpg.QueryCanceledError("timeout"),
        asyncpg.TooManyConnectionsError("full"),
        asyncpg.DiskFullError("full"),
        asyncpg.ReadOnlySQLTransactionError("standby"),
        asyncpg.InterfaceError("connection is closed"),
    ],
)
def test_what_passes_by_itself_is_transient(error: Exception) -> None:
    assert isinstance(translated(error), Transient)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError("twice"),
        asyncpg.UndefinedTableError("no table"),
        asyncpg.exceptions.DataError("invalid input for query argument $1"),
        asyncpg.CharacterNotInRepertoireError("0x00"),
        ValueError("ours"),
        Defect("ours"),
        Transient("ours"),
    ],
)
def test_what_would_fail_again_stays_what_it_is(error: Exception) -> None:
    assert translated(error) is error


def test_command_tags_tell_how_many_rows_were_touched() -> None:
    assert [touched(tag) for tag in ("INSERT 0 5", "DELETE 0", "BEGIN", "UPDATE 12")] == [5, 0, 0, 12]


def test_a_missing_statement_is_named(tmp_path: Path) -> None:
    with pytest.raises(Defect, match=r"no \.sql file"):
        Statements(tmp_path)
    (tmp_path / "one.sql").write_text("SELECT 1\n")
    assert Statements(tmp_path)["one"] == "SELECT 1"
    with pytest.raises(Defect, match=r"two\.sql"):
        Statements(tmp_path)["two"]
