"""Globs as Kestra users write them."""

from __future__ import annotations

import pytest

from levada.plugins.core.globs import matches


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**", "a/b.txt", True),
        ("*", "a/b.txt", False),
        ("*.txt", "b.txt", True),
        ("**/*.txt", "b.txt", True),
        ("**test1.txt", "/a/b/test1.txt", True),
        ("/a/*/c", "a/b/c", True),
        ("{a,b}/?.sql", "b/x.sql", True),
        ("[ab].txt", "c.txt", False),
        ("[!ab].txt", "c.txt", True),
        ("a.txt", "abtxt", False),
        ("glob:**/x", "y/x", True),
    ],
)
def test_a_path_matches(pattern: str, path: str, expected: bool) -> None:
    assert matches(path, [pattern]) is expected
