"""What Postgres and asyncpg raise is Transient exactly when trying again may help."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import asyncpg
import pytest

from levada.database import Statements, touched, translated
from levada.database.errors import unreached
from levada.model.errors import Defect, Transient, UserError

DSN = "postgresql://ada:pass%40word@db.example.com:5433/levada"


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
        asyncpg.InsufficientPrivilegeError("permission denied for table execution"),
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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "x"), ("nothing listens there", "Start it", "db.example.com:5433")),
        (socket.gaierror(-2, "Name or service not known"), ("no host db.example.com:5433",)),
        (TimeoutError(), ("db.example.com:5433 did not answer within 10 s",)),
        (ssl.SSLError("wrong version number"), ("TLS with Postgres", "sslmode")),
        (asyncpg.InvalidPasswordError("password authentication failed"), ("refuses user `ada`", "password in")),
        (asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry"), ("refuses user `ada`", "pg_hba.conf")),
        (asyncpg.InvalidCatalogNameError("no such"), ("no database `levada`", "create it")),
        (asyncpg.TooManyConnectionsError("sorry"), ("max_connections", "database.pool_size")),
        (asyncpg.CannotConnectNowError("starting up"), ("refused for the moment",)),
    ],
)
def test_a_connection_that_does_not_come_about_says_where_and_what_helps(error: Exception, words: list[str]) -> None:
    said = unreached(error, DSN, 10.0)
    assert isinstance(said, Transient)
    assert all(word in str(said) for word in words), said
    assert "pass" not in str(said).replace("password", "")


@pytest.mark.parametrize("error", [ValueError("bad port"), asyncpg.exceptions.ClientConfigurationError("sslmode")])
def test_an_address_that_can_not_be_read_is_the_users(error: Exception) -> None:
    assert isinstance(unreached(error, "postgresql://[", 10.0), UserError)


def test_a_socket_is_named_by_its_folder() -> None:
    said = unreached(FileNotFoundError(2, "x"), "postgresql://u@/d?host=%2Frun%2Fpg", 10.0)
    assert "/run/pg cannot be reached: nothing listens there" in str(said)


def test_a_full_disk_names_the_remedy() -> None:
    assert "no space left on its disk; free some" in str(translated(asyncpg.DiskFullError("could not extend file")))


def test_command_tags_tell_how_many_rows_were_touched() -> None:
    assert [touched(tag) for tag in ("INSERT 0 5", "DELETE 0", "BEGIN", "UPDATE 12")] == [5, 0, 0, 12]


def test_a_missing_statement_is_named(tmp_path: Path) -> None:
    with pytest.raises(Defect, match=r"no \.sql file"):
        Statements(tmp_path)
    (tmp_path / "one.sql").write_text("SELECT 1\n")
    assert Statements(tmp_path)["one"] == "SELECT 1"
    with pytest.raises(Defect, match=r"two\.sql"):
        Statements(tmp_path)["two"]
