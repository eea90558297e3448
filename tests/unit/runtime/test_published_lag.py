"""The lag is published again and again while a service runs, and never after it."""

from __future__ import annotations

import asyncio

from levada.runtime.published_lag import Positions, PublishedLag


class Published:
    """Where lag is published; remembers it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Positions]] = []
        self.three = asyncio.Event()

    async def publish_offsets(self, group: str, positions: Positions) -> None:
        self.heard.append((group, positions))
        if len(self.heard) == 3:
            self.three.set()


async def test_each_round_publishes_what_is_owned_then() -> None:
    published, stop, rounds = Published(), asyncio.Event(), iter(range(100))
    lag = PublishedLag(published, "executor", lambda: {"commands": {1: next(rounds)}}, every_s=0.001)
    running = asyncio.create_task(lag.run(stop))
    await asyncio.wait_for(published.three.wait(), 5)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert published.heard[:3] == [("executor", {"commands": {1: n}}) for n in range(3)]


async def test_a_stop_is_not_waited_for() -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(PublishedLag(Published(), "indexer", dict, every_s=3600).run(stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(running, 5)
