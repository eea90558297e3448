"""A process says what its machine lacks, and is well again when it has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from levada.model.errors import Transient
from levada.runtime import surroundings
from levada.runtime.surroundings import LOOK_S, MIB, DiskSpace, Place, agree


class Steps:
    """A clock of which only the passing of time matters."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Disk:
    """What statvfs says of any folder."""

    def __init__(self) -> None:
        self.f_frsize, self.f_bavail, self.f_files, self.f_favail = 4096, 100 * MIB // 4096, 1000, 500
        self.asked: list[Path] = []

    def __call__(self, folder: Path) -> Disk:
        self.asked.append(folder)
        return self


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk()
    monkeypatch.setattr(surroundings.os, "statvfs", found)
    return found


def space(folder: Path, clock: Steps) -> DiskSpace:
    return DiskSpace([Place("internal storage", folder, "storage.url")], 32 * MIB, clock)  # type: ignore[arg-type]


async def test_a_full_disk_is_named_with_the_remedy_until_there_is_space_again(tmp_path: Path, disk: Disk) -> None:
    clock = Steps()
    looked = space(tmp_path, clock)
    assert await looked.check() == {"internal storage": "100 MiB free"}
    disk.f_bavail = 3 * MIB // 4096
    assert looked.trouble() is None  # asked a moment ago
    clock.now += LOOK_S
    with pytest.raises(Transient, match=r"internal storage .* 3.0 MiB are left.*free some space.*set storage.url"):
        await looked.check()
    disk.f_bavail = 50 * MIB // 4096
    clock.now += LOOK_S
    assert looked.trouble() is None


def test_a_disk_without_inodes_is_full(tmp_path: Path, disk: Disk) -> None:
    disk.f_favail = 0
    assert "no inodes left" in str(space(tmp_path, Steps()).trouble())
    disk.f_files = 0  # a file system that does not count them
    assert space(tmp_path, Steps()).trouble() is None


def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above(tmp_path: Path, disk: Disk) -> None:
    assert space(tmp_path / "not" / "yet", Steps()).trouble() is None
    assert disk.asked == [tmp_path]


def test_a_disk_that_can_not_be_looked_at_is_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(surroundings.os, "statvfs", broken)
    assert "Input/output error; mount or make it" in str(space(tmp_path, Steps()).trouble())


@pytest.mark.parametrize(("skew_s", "way"), [(30.0, "30.0 s ahead of"), (-12.5, "12.5 s behind")])
def test_clocks_that_differ_are_told_with_the_way(skew_s: float, way: str) -> None:
    with pytest.raises(Transient, match=f"{way} the gateway's; let NTP"):
        agree(skew_s, "the gateway's")
    agree(9.0, "the gateway's")
