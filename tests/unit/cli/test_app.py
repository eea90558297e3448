"""The tree of commands: lazy, consistent, and every error one line with the right exit code."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from levada.cli import app, failures
from levada.model.errors import Defect, Transient, UserError


def test_the_help_of_the_program_says_what_each_command_says_of_itself() -> None:
    for name, (_, text) in app.COMMANDS.items():
        assert app.load(name).get_short_help_str(limit=200).rstrip(".") == text.rstrip("."), name


def test_help_imports_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys; from levada.cli.app import run; code = run(['--help']);"
        "heavy = [m for m in ('aiohttp','asyncpg','rich','yaml','levada.cli.commands.run','levada.plugins') if m in sys.modules];"
        "assert not heavy, heavy; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "validate" in done.stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (failures.CheckFailed("no"), 1),
        (UserError("bad flow"), 1),
        (Defect("bug"), 1),
        (failures.BadUsage("what?"), 2),
        (click.UsageError("what?"), 2),
        (failures.Unreachable("away"), 3),
        (failures.CannotStart("taken"), 3),
        (Transient("away"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_family_of_an_error_decides_the_exit_code(error: BaseException, code: int) -> None:
    assert failures.exit_code(error) == code


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["fly"]) == 2
    assert "No such command 'fly'" in capsys.readouterr().err


def test_an_unknown_setting_is_named_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEVADA_PROT", "1")
    assert app.run(["config", "show"]) == 2
    assert "LEVADA_PROT" in (text := capsys.readouterr().err)
    assert "Traceback" not in text


def test_an_unexpected_error_is_one_line_without_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str) -> click.Command:
        raise RuntimeError("out of cheese")

    monkeypatch.setattr(app, "load", broken)
    assert app.run(["version"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_debug_prints_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(name: str) -> click.Command:
        raise RuntimeError("out of cheese")

    monkeypatch.setattr(app, "load", broken)
    assert app.run(["--debug", "version"]) == 1
    assert "Traceback" in capsys.readouterr().err
