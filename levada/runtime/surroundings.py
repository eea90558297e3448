"""What the machine around a process must give: a clock that is right and space on its disks.

Both fail slowly and quietly: a clock that is off by half a minute fires schedules late and lets tokens run out early, a
full disk fails one write here and another there. So they are looked at while all is well, and a process that lacks one
of them is not ready and says which and what helps. Nothing here needs a database: workers use it as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from levada.model.errors import Transient
from levada.runtime.clock import Clock

SKEW_MAX_S = 10.0
"""Timers, schedules and tokens go by the clocks of their machines; a difference that people would notice is a fault."""

LOOK_S = 1.0
MIB = 1 << 20


def agree(skew_s: float, theirs: str) -> None:
    """Raise Transient when our clock is `skew_s` seconds ahead of another one, `theirs`, and that is too much."""
    if abs(skew_s) > SKEW_MAX_S:
        way = "ahead of" if skew_s > 0 else "behind"
        raise Transient(
            f"the clock of this machine is {abs(skew_s):.1f} s {way} {theirs}; "
            f"let NTP set the one that is wrong (at most {SKEW_MAX_S:.0f} s are allowed)"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that is written to. `what` is its name for people, `setting` where another one can be named."""

    what: str
    folder: Path
    setting: str


class DiskSpace:
    """The free space of some folders, told once for those on one disk; asks the system once a second at most."""

    def __init__(self, places: list[Place], least_bytes: int, clock: Clock) -> None:
        self._places = places
        self._least_bytes = least_bytes
        self._clock = clock
        self._looked = -LOOK_S
        self._trouble: str | None = None
        self._free: dict[str, str] = {}

    def trouble(self) -> str | None:
        """Return what is short of space and what helps; None when nothing is."""
        now = self._clock.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            seen: set[int] = set()
            found = [self._look(place, seen) for place in self._places]
            self._trouble = "; ".join(text for text in found if text is not None) or None
        return self._trouble

    async def check(self) -> Mapping[str, Any]:
        """Health check: there is space in each of the folders."""
        trouble = self.trouble()
        if trouble is not None:
            raise Transient(trouble)
        return dict(self._free)

    def _look(self, place: Place, seen: set[int]) -> str | None:
        try:
            folder = _existing(place.folder)
            disk, found = os.stat(folder).st_dev, os.statvfs(folder)
        except OSError as error:
            return f"{place.what} {place.folder} can not be looked at: {error.strerror or error}; mount or make it"
        if disk in seen:
            return None
        seen.add(disk)
        free = found.f_bavail * found.f_frsize
        self._free[place.what] = f"{free // MIB} MiB free"
        remedy = f"free some space there, it goes on by itself, or set {place.setting} to another disk"
        if free < self._least_bytes:
            return (
                f"the disk of {place.what} {place.folder} is full: {free / MIB:.1f} MiB are left, "
                f"{self._least_bytes / MIB:g} are needed (limits.free_disk); {remedy}"
            )
        if found.f_files and not found.f_favail:
            return (
                f"the disk of {place.what} {place.folder} is full: it can hold no more files (no inodes left); {remedy}"
            )
        return None


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it: what is made at the first write is on that disk."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
