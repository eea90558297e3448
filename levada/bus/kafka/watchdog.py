"""Tells a quiet topic from a consumer that is stuck.

A consumer of aiokafka can stop fetching, after a restart of a broker for example, without any sign. Each successful fetch,
an empty one as well, leaves a time stamp; here is remembered when each partition's stamp last changed. A partition whose
stamp stands still while we wait for records is suspicious: first the brokers are asked (if they are away, all is said), and
if they answer, the consumer is thrown away. If that happens again and again without a fetch in between, something is wrong
that we do not understand: the process ends, and its successor begins with nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum

from levada.model.errors import Defect

#: After this without a fetch the brokers are asked.
DOUBT_S = 5.0
#: After this, with brokers that answer, the consumer is made anew.
STUCK_S = 30.0
REBUILDS = 3


class Verdict(Enum):
    WELL = "well"
    DOUBTFUL = "doubtful"
    STUCK = "stuck"


class Pulse:
    """The fetches of one consumer. Times are of a monotonic clock, in seconds."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        doubt_s: float = DOUBT_S,
        stuck_s: float = STUCK_S,
        rebuilds: int = REBUILDS,
    ) -> None:
        self._monotonic = monotonic
        self._doubt_s = doubt_s
        self._stuck_s = stuck_s
        self._most = rebuilds
        self._stamps: dict[int, int | None] = {}
        self._since: dict[int, float] = {}
        self._heard = monotonic()
        #: Rebuilds since the last fetch, and of all time.
        self.in_a_row = 0
        self.rebuilds = 0

    def expect(self, partitions: Iterable[int]) -> None:
        """These partitions are fetched from now on."""
        now = self._monotonic()
        self._stamps = dict.fromkeys(partitions)
        self._since = dict.fromkeys(self._stamps, now)

    def hear(self, stamps: Mapping[int, int | None]) -> None:
        """Compare the stamps of the last fetches. Time in which nobody listened does not count."""
        now = self._monotonic()
        unheard, self._heard = now - self._heard, now
        if unheard > self._doubt_s:
            self._since = {part: since + unheard for part, since in self._since.items()}
        for part, stamp in stamps.items():
            if stamp is not None and stamp != self._stamps.get(part):
                self._stamps[part] = stamp
                self._since[part] = now
        if stamps and all(stamp is not None for stamp in stamps.values()):
            self.in_a_row = 0

    def verdict(self) -> Verdict:
        """Say how the partition is that has not been fetched for longest."""
        if not self._since:
            return Verdict.WELL
        silent_s = self._monotonic() - min(self._since.values())
        if silent_s < self._doubt_s:
            return Verdict.WELL
        return Verdict.DOUBTFUL if silent_s < self._stuck_s else Verdict.STUCK

    def rebuilt(self) -> None:
        """Count a consumer that is made anew. Raises Defect when that has not helped several times."""
        self.rebuilds += 1
        self.in_a_row += 1
        if self.in_a_row > self._most:
            raise Defect(
                f"{self._most} consumers in a row fetched nothing though the brokers answer: this process gives up"
            )
