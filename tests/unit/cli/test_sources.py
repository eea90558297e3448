"""Cutting files into documents, with places that count in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from levada.cli import sources
from levada.cli.failures import BadUsage

FILE = Path("flows.yml")


def test_a_file_with_one_flow_is_kept_byte_for_byte() -> None:
    content = b"# a comment\r\nid: a\r\n"
    (document,) = sources.cut(FILE, content)
    assert (document.source, document.line) == (content, 0)


def test_documents_know_their_first_line_in_the_file() -> None:
    first, second = sources.cut(FILE, b"id: a\nnamespace: n\n---\nid: b\n")
    assert (first.source, first.line) == (b"id: a\nnamespace: n\n", 0)
    assert (second.source, second.line) == (b"id: b\n", 3)
    assert second.place == "flows.yml:4"


def test_a_leading_separator_empty_documents_and_comments_make_no_flow() -> None:
    documents = sources.cut(FILE, b"---\nid: a\n--- # next\n# only words\n---\n\n")
    assert [(one.source, one.line) for one in documents] == [(b"id: a\n", 1)]


def test_dashes_inside_a_script_do_not_divide() -> None:
    assert len(sources.cut(FILE, b"id: a\ntasks:\n  - script: |\n      ---\n      x\n")) == 1


def test_folders_are_searched_for_flow_files_but_not_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.yml", "a/c.yaml", "a/readme.md", ".git/x.yml", "a/.hidden.yml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("id: x\n")
    assert [path.relative_to(tmp_path).as_posix() for path in sources.find([tmp_path])] == ["a/c.yaml", "b.yml"]


def test_a_missing_path_is_wrong_usage() -> None:
    with pytest.raises(BadUsage, match="no such file"):
        sources.find([Path("nowhere.yml")])
