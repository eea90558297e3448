"""The doorbell over the bus: what `Doorbell` is over NOTIFY, on the topic `control`.

It saves latency and carries no information: whoever hears it looks for itself, and whoever does not hear it finds out by
polling. Rings are gathered for a few milliseconds, so that a busy process rings no more often than others can look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from levada.bus.port import CONTROL, Bus, Outgoing
from levada.model.errors import Transient

log = logging.getLogger(__name__)

PAUSE_S = 0.003
RETRY_S = 1.0
POLL_S = 5.0
POLL_RECORDS = 1000
POLL_BYTES = 1024 * 1024


class BusBell:
    """`on` before `start`. A ring that fails is dropped: polling finds what it would have told."""

    def __init__(self, bus: Bus, own: str) -> None:
        """`own` is a name that no other process has."""
        self._bus = bus
        self._own = own
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._wanted: set[str] = set()
        self._ringing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def on(self, channel: str, callback: Callable[[], None]) -> None:
        """Call back when another process rang; also after the bus was away."""
        self._listeners.setdefault(channel, []).append(callback)

    def ring(self, channel: str) -> None:
        """Ring soon. Never blocks."""
        self._wanted.add(channel)
        self._ringing.set()

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._listen(), name="bell-listen"),
            asyncio.create_task(self._send(), name="bell-ring"),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self) -> None:
        while True:
            await self._ringing.wait()
            self._ringing.clear()
            channels, self._wanted = self._wanted, set()
            try:
                await self._bus.append([Outgoing(CONTROL, self._own, channel.encode()) for channel in sorted(channels)])
            except Transient as error:
                log.debug("nobody hears the bell: %s", error)
            await asyncio.sleep(PAUSE_S)

    async def _listen(self) -> None:
        while True:
            try:
                positions = await self._bus.ends(CONTROL)
                for channel in self._listeners:
                    self._heard(channel)
                await self._follow(positions)
            except Transient as error:
                log.debug("the bell is not heard for a moment: %s", error)
            await asyncio.sleep(RETRY_S)

    async def _follow(self, positions: dict[int, int]) -> None:
        while True:
            records = await self._bus.poll(
                CONTROL, positions, max_records=POLL_RECORDS, max_bytes=POLL_BYTES, timeout_s=POLL_S
            )
            for record in records:
                positions[record.partition] = record.offset + 1
            for channel in {record.body.decode(errors="replace") for record in records if record.key != self._own}:
                self._heard(channel)

    def _heard(self, channel: str) -> None:
        for callback in self._listeners.get(channel, ()):
            callback()
