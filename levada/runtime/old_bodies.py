"""Deletes bodies of messages that were too large for Kafka, once no message can name them any more.

A large body lies in the internal storage, and its message carries where (levada/bus/kafka/blobs.py). Kafka forgets messages by
its retention and tells nobody, so bodies go by their age: KEPT_RETENTIONS times the retention, because brokers drop whole
segments and are late with it. What is stored again under the same name (the name is made from the content) is young again;
that is looked at once more before each deletion.

One process does it, a bounded number in each round: storage that holds millions must not keep anybody busy for hours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from levada.bus.port import TOPICS
from levada.files.port import SCHEME, Files
from levada.model.errors import Transient, UserError
from levada.runtime.clock import Clock
from levada.runtime.lifecycle import pause

log = logging.getLogger(__name__)

FOLDER = f"{SCHEME}/_messages"
"""Where they are kept, in a folder for each topic."""

KEPT_RETENTIONS = 2
ROUND = 500
HOURLY_S = 3600.0
#: Between two rounds while there is more to delete.
PAUSE_S = 5.0
#: How often a process whose turn it is not looks whether it has become so.
TURN_S = 60.0


class OldBodies:
    """The loop of one process; idle unless `leads` says that it is this one's turn."""

    def __init__(self, files: Files, clock: Clock, retention_s: float, leads: Callable[[], bool]) -> None:
        self._files = files
        self._clock = clock
        self._keep_us = int(retention_s * KEPT_RETENTIONS * 1_000_000)
        self._leads = leads

    async def run(self, stop: asyncio.Event) -> None:
        """Look once an hour until `stop`. A storage that is away is tried again the next time."""
        while not stop.is_set():
            pause_s = await self._round() if self._leads() else TURN_S
            await pause(stop, pause_s)

    async def _round(self) -> float:
        """Delete some; return how long to pause."""
        try:
            done = await self.forget(ROUND)
        except (Transient, UserError) as error:
            log.warning("old bodies of messages are left until the next look: %s", error)
            return HOURLY_S
        return PAUSE_S if done >= ROUND else HOURLY_S

    async def forget(self, limit: int) -> int:
        """Delete up to `limit` bodies that are too old to be named; return how many. Raises Transient, UserError."""
        before = self._clock.now_us() - self._keep_us
        done = 0
        for topic in TOPICS:
            for found in await self._files.list(f"{FOLDER}/{topic}"):
                if done >= limit:
                    return done
                if found.is_folder or not 0 < found.modified < before:
                    continue
                done += await self._deleted(found.uri, before)
        if done:
            log.info("deleted %d bodies of messages that Kafka has forgotten", done)
        return done

    async def _deleted(self, uri: str, before: int) -> bool:
        if not await self._files.exists(uri) or (await self._files.stat(uri)).modified >= before:
            return False
        return await self._files.delete(uri)
