from __future__ import annotations

from pathlib import Path

import pytest

from levada.cli.failures import BadUsage
from levada.cli.inputs import parse_inputs, parse_labels


def test_values_stay_text_and_may_hold_an_equals_sign() -> None:
    assert parse_inputs(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


def test_at_names_a_file_and_two_at_a_text_that_begins_with_one(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("1")
    assert parse_inputs([f"f=@{file}", "t=@@you"]) == {"f": file, "t": "@you"}


@pytest.mark.parametrize("text", ["name", "=value", "f=@no/such/file"])
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(BadUsage, match="--input"):
        parse_inputs([text])


def test_labels_become_pairs() -> None:
    assert parse_labels(["team=data", "url=a=b"]) == ["team:data", "url:a=b"]
