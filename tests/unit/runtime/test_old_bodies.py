"""Bodies of messages that Kafka has forgotten are deleted, and none that a message may still name."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from levada.bus.port import COMMANDS, LOGS
from levada.files.local import LocalFiles
from levada.files.port import Stat
from levada.model.errors import Transient
from levada.runtime.clock import SystemClock
from levada.runtime.old_bodies import FOLDER, OldBodies

DAY_S = 86_400.0


async def stored(folder: Path, topic: str, name: str, age_s: float) -> str:
    uri = f"{FOLDER}/{topic}/{name}"
    files = LocalFiles(folder)
    await files.put(uri, b"body")
    path = await files.local_path(uri)
    assert path is not None
    at = SystemClock().now_us() / 1_000_000 - age_s
    os.utime(path, (at, at))
    return uri


def old(files: LocalFiles, *, leads: bool = True) -> OldBodies:
    return OldBodies(files, SystemClock(), DAY_S, lambda: leads)


async def test_what_is_older_than_two_retentions_goes_and_nothing_else(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    gone = [await stored(tmp_path, topic, "a", 2 * DAY_S + 60) for topic in (COMMANDS, LOGS)]
    kept = [await stored(tmp_path, COMMANDS, "b", 2 * DAY_S - 60), await stored(tmp_path, "somebody", "c", 9 * DAY_S)]
    assert await old(files).forget(10) == 2
    assert [await files.exists(uri) for uri in gone] == [False, False]
    assert [await files.exists(uri) for uri in kept] == [True, True]
    assert await old(files).forget(10) == 0


async def test_a_round_is_bounded(tmp_path: Path) -> None:
    for number in range(5):
        await stored(tmp_path, COMMANDS, str(number), 9 * DAY_S)
    files = LocalFiles(tmp_path)
    assert [await old(files).forget(2) for _ in range(4)] == [2, 2, 1, 0]


class Again(LocalFiles):
    """A storage where every body is stored again between the look at the folder and its deletion."""

    async def list(self, uri: str, *, recursive: bool = False) -> list[Stat]:
        found = await super().list(uri, recursive=recursive)
        for one in found:
            await self.put(one.uri, b"body")
        return found


async def test_what_is_stored_again_meanwhile_stays(tmp_path: Path) -> None:
    uri = await stored(tmp_path, COMMANDS, "a", 9 * DAY_S)
    files = Again(tmp_path)
    assert await old(files).forget(10) == 0
    assert await files.exists(uri)


class Away(LocalFiles):
    async def list(self, uri: str, *, recursive: bool = False) -> list[Stat]:
        raise Transient("the bucket does not answer")


@pytest.mark.parametrize("leads", [True, False])
async def test_a_storage_that_is_away_stops_nobody(
    tmp_path: Path, leads: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(old(Away(tmp_path), leads=leads).run(stop))
    await asyncio.sleep(0.02)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert ("the bucket does not answer" in caplog.text) is leads
