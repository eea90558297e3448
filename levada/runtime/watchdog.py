"""Notices when the event loop stands still, and shows what it stands in.

Everything in a process shares one loop: a call that blocks it for a second delays every lease renewal and every heartbeat
by a second. A thread watches the loop's heartbeat; when that is late it prints the stack of the loop's thread, once per
standstill, so that the culprit has a name. The lag is a metric of its own.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback

from levada.runtime.clock import Clock

log = logging.getLogger(__name__)

BEAT_S = 0.1
STANDSTILL_S = 1.0


class LoopWatchdog:
    """Watches the loop that `run` runs on."""

    def __init__(self, clock: Clock, *, standstill_s: float = STANDSTILL_S) -> None:
        self._clock, self._standstill_s = clock, standstill_s
        self._last_beat = clock.monotonic()
        self._ended = threading.Event()
        self.lag_s = 0.0
        """How late the last heartbeat was."""
        self.worst_s = 0.0
        """How late the latest one of all was."""
        self.standstills = 0
        """How often the loop stood still for longer than allowed."""

    async def run(self) -> None:
        """Watch until cancelled."""
        thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), name="loop-watchdog", daemon=True)
        self._last_beat = self._clock.monotonic()
        self._ended.clear()
        thread.start()
        try:
            while True:
                due = self._last_beat + BEAT_S
                await asyncio.sleep(BEAT_S)
                self._last_beat = self._clock.monotonic()
                self.lag_s = max(self._last_beat - due, 0.0)
                self.worst_s = max(self.worst_s, self.lag_s)
        finally:
            self._ended.set()

    def _watch(self, loop_thread: int) -> None:
        told_of = 0.0
        while not self._ended.wait(BEAT_S):
            beat = self._last_beat
            late_s = self._clock.monotonic() - beat - BEAT_S
            if late_s > self._standstill_s and beat != told_of:
                told_of = beat
                self.standstills += 1
                frame = sys._current_frames().get(loop_thread)
                stack = "".join(traceback.format_stack(frame)) if frame is not None else "the thread is gone"
                log.warning("the event loop has stood still for %.1f s in:\n%s", late_s, stack.rstrip())
