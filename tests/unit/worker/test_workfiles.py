"""Names inside a working directory."""

from pathlib import Path

import pytest

from levada.model.errors import UserError
from levada_worker.workfiles import inside, walk


@pytest.mark.parametrize("name", ["a.txt", "./a.txt", "/a.txt", "deep/er/a.txt", "..a", "ünï code"])
def test_names_stay_inside(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name).is_relative_to(tmp_path)


@pytest.mark.parametrize(
    "name", ["", "/", "..", "../a", "a/../../b", "a//b", "a\x00b", "a\\..\\b", "%2e%2e/a", "a/./b"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        inside(tmp_path, name)


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "out").symlink_to(tmp_path)
    (folder / "file").symlink_to(tmp_path / "secret")
    (folder / "real").write_text("x")
    (folder / "alias").symlink_to(folder / "real")
    with pytest.raises(UserError, match="over a link"):
        inside(folder, "out/secret")
    assert list(walk(folder)) == ["alias", "real"]
