"""Tells the brokers now and then how far a service has read, so that what measures lag by a Kafka group can.

The positions are those of the partitions that this process owns; the processes of a service publish to one group, each its
own partitions. It is a metric and nothing else: nobody reads it back, and the service never waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from levada.runtime.lifecycle import pause

#: KEDA looks every 30 s unless told otherwise.
PUBLISH_S = 5.0

Positions = Mapping[str, Mapping[int, int]]
"""Topic → partition → offset of the next record to apply."""


class Offsets(Protocol):
    """A bus whose brokers others ask for the lag: `bus.kafka.KafkaBus`."""

    async def publish_offsets(self, group: str, positions: Positions) -> None:
        """Never raises; returns after some seconds at most."""


class PublishedLag:
    """The loop of one service; `group` is its name."""

    def __init__(
        self, offsets: Offsets, group: str, positions: Callable[[], Positions], *, every_s: float = PUBLISH_S
    ) -> None:
        self._offsets = offsets
        self._group = group
        self._positions = positions
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop`."""
        while not stop.is_set():
            await self._offsets.publish_offsets(self._group, self._positions())
            await pause(stop, self._every_s)
