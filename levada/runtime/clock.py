"""Time and randomness, the two inputs a program cannot reproduce.

This is the only module that reads a clock or draws a random number. Everything above it takes a `Clock` as an argument,
so a simulation can hand out its own time and its own seeded bytes and replay a failure from the seed alone. The pure
core (`levada.model`, `levada.expr`, `levada.engine`) does not even see a `Clock`: it receives plain numbers.

Two kinds of time, never mixed: `now_us` is the wall clock (may jump when the machine's clock is set; the only one that
may be stored), `monotonic` only ever grows (the only one to measure waiting with; means nothing in another process).
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Protocol

from levada.model import ids

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""Digits of an id in ascending ASCII order, so that ids sort as text the way they sort as numbers."""

ID_LENGTH = 22
"""Characters of an id: 62**22 > 2**128 > 62**21."""


class Clock(Protocol):
    """What the outside world knows about time and chance."""

    def now_us(self) -> int:
        """Return the wall clock: microseconds since 1970-01-01T00:00:00Z."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment of this process; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait at least `seconds`; zero or less only yields to the other tasks of the loop."""

    def random_bytes(self, n: int) -> bytes:
        """Return `n` bytes fit for tokens and keys."""

    def random(self) -> float:
        """Return a number in [0, 1) fit for jitter, not for secrets."""


class SystemClock:
    """The machine's own clock and the kernel's random source."""

    __slots__ = ()

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))

    def random_bytes(self, n: int) -> bytes:
        return os.urandom(n)

    def random(self) -> float:
        return random.random()


def new_id(clock: Clock) -> str:
    """Return a new id: 22 characters [0-9A-Za-z] of a version 7 UUID, later ids sort after earlier ones.

    The order is exact to a quarter of a microsecond of `clock.now_us()`; within that, ids are in random order.
    """
    return base62(uuid7(clock.now_us(), clock.random_bytes(8)))


def uuid7(now_us: int, random_bytes: bytes) -> int:
    """Return RFC 9562's version 7 UUID as a number, with the fraction of the millisecond in its 12 `rand_a` bits.

    `random_bytes` are eight; 62 of their bits are used.
    """
    millis, micros = divmod(now_us, 1000)
    fraction = (micros << 12) // 1000
    chance = int.from_bytes(random_bytes, "big") & (1 << 62) - 1
    return (millis & (1 << 48) - 1) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | chance


def base62(number: int) -> str:
    """Return a number below 2**128 as exactly 22 base-62 digits."""
    return ids.base62(number.to_bytes(16, "big"))


def from_base62(text: str) -> int:
    """Return the number `base62` printed. Raises ValueError for anything else."""
    if len(text) != ID_LENGTH:
        raise ValueError(f"an id has {ID_LENGTH} characters, this has {len(text)}: {text!r}")
    number = 0
    for character in text:
        number = number * 62 + BASE62.index(character)
    return number


def id_time_us(text: str) -> int:
    """Return the wall clock at which an id from `new_id` was drawn, to the microsecond. Raises ValueError."""
    number = from_base62(text)
    fraction = number >> 64 & 0xFFF
    return (number >> 80) * 1000 + (fraction * 1000 + 4095 >> 12)
