"""What must not be in the repository, and that its layers hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:home|Users|root|work)/\w"),
    "a package registry": re.compile(
        "|".join(
            (
                "py" + r"pi\.org",
                "files" + r"\.pythonhosted\.org",
                "registry" + r"\.npmjs\.org",
                "deb" + r"\.debian\.org",
            )
        )
    ),
    "a merge that was not finished": re.compile(r"^(<{7}|>{7}) ", re.MULTILINE),
}

TEXT = {".py", ".md", ".toml", ".txt", ".lock", ".in", ".yml", ".yaml", ".sql", ".sh", ".json", ".cfg", ""}


def tracked() -> list[Path]:
    """Return the files of the repository; all files when this is no clone."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git clone")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_file_holds_what_belongs_to_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {what}: {match.group()}"
        for path in tracked()
        if path.suffix in TEXT and path != Path(__file__)
        for what, pattern in FORBIDDEN.items()
        if (match := pattern.search(path.read_text(errors="replace")))
    ]
    assert found == []


def test_the_layers_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout


def test_each_service_is_a_package_with_entry_points() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for folder in sorted((ROOT / "services").iterdir()):
        assert f'"services/{folder.name}/levada_{folder.name}"' in text, f"{folder.name} is not in the wheel"
        assert f'{folder.name} = "levada_{folder.name}.main:main"' in text, f"{folder.name} has no entry point"
