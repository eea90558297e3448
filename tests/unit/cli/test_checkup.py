from __future__ import annotations

import fcntl
import socket
from pathlib import Path

import pytest

from levada.cli import checkup
from levada.runtime.config import load


async def findings(options: dict[str, str]) -> dict[str, checkup.Finding]:
    loaded = load(options, environ={})
    return {finding.check: finding async for finding in checkup.examine(loaded)}


async def test_a_fresh_folder_is_fine_and_stays_unmade(tmp_path: Path) -> None:
    found = await findings({"data_dir": str(tmp_path / "new"), "port": "0", "management_port": "0"})
    assert not [one for one in found.values() if one.level == checkup.BAD]
    assert not (tmp_path / "new").exists()


async def test_a_taken_port_is_named_with_a_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = await findings({"data_dir": str(tmp_path), "port": str(port), "management_port": "0"})
    assert found["port"].level == checkup.BAD
    assert str(port) in found["port"].detail
    assert found["port"].remedy


async def test_the_owner_of_a_data_folder_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "postgres.lock"
    lock.write_text("4711\n")
    assert checkup.lock_owner(lock) is None
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert checkup.lock_owner(lock) == "4711"


async def test_an_open_address_without_an_account_is_an_error(tmp_path: Path) -> None:
    found = await findings({"data_dir": str(tmp_path), "host": "0.0.0.0", "port": "0", "management_port": "0"})
    assert found["sign-in"].level == checkup.BAD


async def test_a_database_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    found = await findings({"data_dir": str(tmp_path), "database.url": "postgresql://x@127.0.0.1:9/x"})
    assert found["database"].level == checkup.BAD


async def test_a_database_is_looked_at_with_version_clock_and_schema(database: str, tmp_path: Path) -> None:
    found = await findings({"data_dir": str(tmp_path), "database.url": database, "port": "0"})
    assert found["database"].detail.startswith("PostgreSQL")
    assert found["database clock"].level == checkup.GOOD
    assert found["schema"].level == checkup.GOOD


async def test_an_empty_database_is_told_what_the_next_start_does(empty_database: str, tmp_path: Path) -> None:
    found = await findings({"data_dir": str(tmp_path), "database.url": empty_database, "port": "0"})
    assert "to be done" in found["schema"].detail
    assert "levada migrate" in found["schema"].remedy


@pytest.mark.parametrize("port", [0])
def test_any_free_port_is_really_free(port: int) -> None:
    assert checkup.free("127.0.0.1", port) > 0
