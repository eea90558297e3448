from __future__ import annotations

import json

import pytest

from levada.cli import screen


def test_a_table_in_a_pipe_is_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    screen.table(["id", "state"], [["a", "SUCCESS"], ["longer", None]])
    assert capsys.readouterr().out == "ID      STATE\na       SUCCESS\nlonger\n"


def test_values_of_a_table_are_one_short_line() -> None:
    assert screen.cell("a\n  b") == "a b"
    assert screen.cell({"k": [1]}) == '{"k": [1]}'
    assert len(screen.cell("x" * 500)) == screen.CELL_LIMIT


def test_json_is_one_document_with_letters_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    screen.document({"name": "Zoë"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "Zoë"}
    assert "Zoë" in out


def test_further_lines_of_a_log_entry_are_indented() -> None:
    entry = {"timestamp": "2026-01-01T00:00:00.123Z", "level": "ERROR", "taskId": "t", "message": "a\nb"}
    first, second = screen.log_line(entry).split("\n")
    assert first.endswith("a")
    assert second == "    b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PT0.42S", "0.4s"),
        ("PT59S", "59s"),
        ("PT1M5S", "1m 5s"),
        ("PT2H10M", "2h 10m"),
        ("P1DT1H", "25h 0m"),
        ("?", "?"),
    ],
)
def test_durations_are_said_as_people_say_them(text: str, said: str) -> None:
    assert screen.duration(text) == said
