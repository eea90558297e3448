"""The doorbell between processes: NOTIFY, and LISTEN on a connection of its own.

It saves latency and carries no information: whoever hears it looks for itself, and whoever does not hear it finds out by
polling. Rings are sent outside of any transaction (a NOTIFY inside one makes the commits of the whole server wait for each
other) and at most one per channel every few milliseconds. The payload says only who rang, so nobody answers his own ring.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from levada.database import Connection, Database
from levada.model.errors import Transient

log = logging.getLogger(__name__)

PAUSE_S = 0.005
RECONNECT_S = 1.0


class Doorbell:
    """`on` before `start`. A ring that fails is dropped: polling finds what it would have told."""

    def __init__(self, database: Database, own: str) -> None:
        """`own` is a name that no other process has."""
        self._database = database
        self._own = own
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._wanted: set[str] = set()
        self._ringing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def on(self, channel: str, callback: Callable[[], None]) -> None:
        """Call back when another process rang; also after a lost connection came back."""
        self._listeners.setdefault(channel, []).append(callback)

    def ring(self, channel: str) -> None:
        """Ring soon. Never blocks."""
        self._wanted.add(channel)
        self._ringing.set()

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._listen(), name="doorbell-listen"),
            asyncio.create_task(self._send(), name="doorbell-ring"),
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
            with contextlib.suppress(Transient):
                for channel in channels:
                    await self._database.fetchval("SELECT pg_notify($1, $2)", channel, self._own)
            await asyncio.sleep(PAUSE_S)

    async def _listen(self) -> None:
        while True:
            lost = asyncio.Event()
            try:
                connection = await self._database.connect()
            except Transient as error:
                log.debug("the doorbell can not connect: %s", error)
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                await self._attend(connection, lost)
                await lost.wait()
            except Transient as error:
                log.debug("the doorbell lost its connection: %s", error)
            finally:
                connection.terminate()
            await asyncio.sleep(RECONNECT_S)

    async def _attend(self, connection: Connection, lost: asyncio.Event) -> None:
        connection.add_termination_listener(lambda _: lost.set())
        for channel, callbacks in self._listeners.items():
            await connection.add_listener(channel, self._heard(callbacks))
            for callback in callbacks:
                callback()

    def _heard(self, callbacks: list[Callable[[], None]]) -> Callable[..., None]:
        def heard(_connection: object, _pid: int, _channel: str, ringer: str) -> None:
            if ringer != self._own:
                for callback in callbacks:
                    callback()

        return heard
