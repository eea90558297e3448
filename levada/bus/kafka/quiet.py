"""Keeps aiokafka's loggers from filling disks while a broker is away.

It writes up to thousands of lines per second then, all alike. Of each kind of line one is let through every ten seconds,
with the number of those that were left out. What the lines mean is said by Levada itself, once, with a remedy.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

PAUSE_S = 10.0
KINDS = 1000


class Seldom(logging.Filter):
    """Lets one line of each kind (logger, level, message without its arguments) through per `pause_s`."""

    def __init__(self, pause_s: float = PAUSE_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._pause_s = pause_s
        self._monotonic = monotonic
        self._kinds: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._monotonic()
        kind = (record.name, record.levelno, str(record.msg))
        until, left_out = self._kinds.get(kind, (0.0, 0))
        if now < until:
            self._kinds[kind] = (until, left_out + 1)
            return False
        if len(self._kinds) >= KINDS:
            self._kinds.clear()
        self._kinds[kind] = (now + self._pause_s, 0)
        if left_out:
            record.msg = f"{record.msg} (and {left_out} more like it)"
        return True


def install() -> None:
    """Put the filter on every logger of aiokafka, once."""
    names = [name for name in logging.root.manager.loggerDict if name == "aiokafka" or name.startswith("aiokafka.")]
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(one, Seldom) for one in logger.filters):
            logger.addFilter(Seldom())
