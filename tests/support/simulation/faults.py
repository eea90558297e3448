"""What goes wrong, drawn from the seed.

`Climate` says how bad the world of a seed is: rates per call and per second. `Fate` is what happens to one call. Every
draw comes from the world's one random generator, in the order in which the simulation asks, so the seed is all there is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class Climate:
    """Rates of faults per call of a port (the first ones), and mean seconds between the larger ones."""

    fail_before: float = 0.0
    fail_after: float = 0.0
    crash: float = 0.0
    freeze: float = 0.0
    slow: float = 0.0
    duplicate: float = 0.0
    #: Per second of virtual time.
    gremlins: float = 0.0
    #: Names of the gremlins at work; empty: the seed draws them.
    favourites: tuple[str, ...] = ()
    #: Whether the bus is a log of its own, which may lose what it holds; None: the seed draws it.
    apart: bool | None = None

    @property
    def calm(self) -> bool:
        return self == CALM


CALM = Climate()


def draw_climate(chance: random.Random) -> Climate:
    """One seed in ten is calm; the others have each kind of fault at a rate of its own, often none."""
    if chance.random() < 0.1:
        return Climate()

    def rate(most: float) -> float:
        return chance.choice([0.0, most / 8, most / 3, most])

    return Climate(
        fail_before=rate(0.04),
        fail_after=rate(0.04),
        crash=rate(0.012),
        freeze=rate(0.008),
        slow=rate(0.03),
        duplicate=rate(0.4),
        gremlins=chance.choice([0.0, 0.1, 0.3, 0.6]),
    )


class Fate(NamedTuple):
    """What happens to one call: delays in seconds around it, and one of "", fail_before, fail_after, crash_before,
    crash_after, freeze_before, freeze_after."""

    kind: str = ""
    before_s: float = 0.0
    after_s: float = 0.0


def draw_fate(chance: random.Random, climate: Climate) -> Fate:
    before, after = chance.random() * 0.01, chance.random() * 0.01
    if climate.calm:
        return Fate("", before, after)
    if chance.random() < climate.slow:
        before += chance.random() * 3
        after += chance.random() * 2
    x = chance.random()
    for kind, rate in (
        ("fail_before", climate.fail_before),
        ("fail_after", climate.fail_after),
        ("crash_before", climate.crash / 2),
        ("crash_after", climate.crash / 2),
        ("freeze_before", climate.freeze / 2),
        ("freeze_after", climate.freeze / 2),
    ):
        if x < rate:
            return Fate(kind, before, after)
        x -= rate
    return Fate("", before, after)
