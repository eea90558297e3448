from __future__ import annotations

from pathlib import Path

import pytest

from levada.cli import app


def levada(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = app.run(arguments)
    out = capsys.readouterr()
    return code, out.out, out.err


def test_variables_are_json_or_text_and_reach_into_maps(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["{{ inputs.n + 1 }} {{ inputs.who | upper }}", "--var", "inputs.n=41", "--var", "inputs.who=ada"]
    assert levada(capsys, "eval", *arguments) == (0, "42 ADA\n", "")


def test_variables_come_from_a_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "vars.yml"
    file.write_text("inputs:\n  n: 3\n")
    code, out, _ = levada(capsys, "eval", "{{ inputs.n }}{{ x }}", "--vars", str(file), "--var", "x=y")
    assert (code, out) == (0, "3y\n")


def test_an_error_says_where_in_the_expression(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = levada(capsys, "eval", "{{ inputs.nmae }}", "--var", "inputs.name=x")
    assert code == 1
    assert "line 1, column" in err
    assert "did you mean 'name'" in err


def test_what_needs_a_server_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = levada(capsys, "eval", "{{ secret('KEY') }}")
    assert code == 1
    assert "needs a server" in err


def test_a_task_run_without_an_execution_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert levada(capsys, "eval", "{{ 1 }}", "--task-run", "x")[0] == 2
