"""File patterns."""

import pytest

from levada.model.errors import UserError
from levada_worker import globs


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.txt", "a.txt", True),
        ("*.txt", "d/a.txt", False),
        ("./*.txt", "a.txt", True),
        ("/a.txt", "a.txt", True),
        ("**", "d/e/a.txt", True),
        ("**/*.txt", "d/e/a.txt", True),
        ("**/*.txt", "a.txt", True),
        ("**.txt", "d/a.txt", True),
        ("d/**", "d/e/f", True),
        ("d/**", "e/f", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].txt", "b.txt", True),
        ("[!ab].txt", "b.txt", False),
        ("[!ab].txt", "/.txt", False),
        ("[a-c]1", "b1", True),
        ("*.{csv,json}", "x.json", True),
        ("*.{csv,json}", "x.xml", False),
        ("a\\*b", "a*b", True),
        ("a.b", "axb", False),
        ("a+b(c)", "a+b(c)", True),
    ],
)
def test_patterns_match_like_globs(pattern: str, path: str, matches: bool) -> None:
    assert (globs.compile(pattern).fullmatch(path) is not None) is matches


def test_patterns_without_a_root_match_in_every_folder_where_asked() -> None:
    assert globs.anywhere("*.sql").fullmatch("deep/er/a.sql")
    assert not globs.anywhere("/*.sql").fullmatch("deep/a.sql")


@pytest.mark.parametrize("pattern", ["[ab", "{a,b", "x" * 2000, "[z-a]"])
def test_patterns_that_cannot_be_read_are_refused(pattern: str) -> None:
    with pytest.raises(UserError):
        globs.compile(pattern)
