"""Where the files of things live."""

import pytest

from levada.files import paths
from levada.files.errors import BadPath


def test_everything_of_an_execution_lives_in_one_folder() -> None:
    folder = paths.execution_folder("company.team", "flow", "e1")
    assert folder == "kestra:///company/team/flow/executions/e1"
    assert paths.task_run_folder("company.team", "flow", "e1", "t", "r") == f"{folder}/tasks/t/r"
    assert paths.input_file("company.team", "flow", "e1", "data", "../a b.csv") == f"{folder}/inputs/data/a b.csv"


def test_namespace_files_have_a_folder_per_namespace() -> None:
    assert paths.namespace_file("company.team", "/q/a.sql") == "kestra:///_files/company.team/q/a.sql"
    assert paths.namespace_file("company", "") == "kestra:///_files/company"
    with pytest.raises(BadPath):
        paths.namespace_file("company", "../other/a.sql")
    with pytest.raises(BadPath):
        paths.namespace_file("../company", "a.sql")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.csv", "report.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.txt", "x.txt"),
        ("%2e%2e%2fpasswd", "passwd"),
        ("a\x00\nb.txt", "ab.txt"),
        ("..", "file"),
        ("", "file"),
        ("日本.csv", "日本.csv"),
        ("100%.txt", "100_.txt"),
    ],
)
def test_uploaded_names_are_made_harmless(name: str, expected: str) -> None:
    assert paths.safe_name(name) == expected
    assert paths.check(paths.safe_name(name)) == expected


def test_long_names_are_shortened_and_keep_their_suffix() -> None:
    name = paths.safe_name("日" * 300 + ".csv")
    assert name.endswith(".csv")
    assert len(name.encode()) <= paths.SEGMENT_MAX_BYTES
    paths.check(name)
