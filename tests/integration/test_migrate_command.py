"""`levada migrate` as people and deployments call it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from levada.cli import app
from levada.store import migrate as migrations

FILES = [migration.file for migration in migrations.read()]


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = app.run(["migrate", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def set_up(empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEVADA_DATABASE_URL", empty_database)
    return empty_database


def test_plan_check_apply_check(set_up: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "--plan")[:2] == (0, "".join(f"pending  {file}\n" for file in FILES))
    code, _, error = called(capsys, "--check")
    assert code == 1
    assert "`levada migrate`" in error
    assert called(capsys, "--output", "json")[:2] == (0, json.dumps({"applied": FILES}, indent=2) + "\n")
    assert called(capsys)[:2] == (0, "nothing was to be done\n")
    code, out, _ = called(capsys, "--check", "--output", "json")
    assert (code, json.loads(out)) == (0, {"pending": [], "newer": []})


def test_without_a_database_of_ones_own_there_is_nothing_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEVADA_DATABASE_URL", raising=False)
    code, _, error = called(capsys)
    assert code == 2
    assert "LEVADA_DATABASE_URL" in error


def test_a_database_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVADA_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    code, _, error = called(capsys, "--wait", "0.1")
    assert code == 3
    assert "database.url" in error
