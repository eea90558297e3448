"""Counters, gauges and histograms, and the text in which Prometheus reads them.

Own code instead of a client library, because it stands on the hot path and in the memory of every process: an increment
is one look-up in a dictionary, importing costs nothing, and there is no lock. Whoever counts does so on the event loop's
thread; two threads that add to one number in the same instant may lose one of the two, which a monitor survives.

What is declared stands in `metrics.py`. What has to be asked for (memory, depth of a queue) is set by collectors, which
run when somebody reads; a collector that fails is counted and logged and takes nothing else with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import ClassVar, TypeVar

from levada.model.errors import Defect

log = logging.getLogger(__name__)

Labels = tuple[str, ...]
Collector = Callable[[], Awaitable[None] | None]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COLLECTOR_TIMEOUT_S = 5.0
#: Buckets for durations in seconds: half a millisecond to a minute.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: Buckets for durations of what people wait for: ten milliseconds to a day.
LONG_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
#: Buckets for how many.
NUMBERS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0)


class Metric:
    """A name with what it means; values by the values of its labels, in the order of `labels`."""

    kind: ClassVar[str]

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        self.name, self.help, self.labels = name, help, tuple(labels)

    def samples(self) -> Iterator[tuple[str, str, float]]:
        """Yield suffix of the name, labels as text, value."""
        raise NotImplementedError

    def exposed(self) -> tuple[str, ...]:
        """The names under which queries find it."""
        return (self.name,)

    def _checked(self, labels: Labels) -> Labels:
        if len(labels) != len(self.labels):
            raise Defect(f"metric {self.name} has the labels {self.labels}, not {len(labels)} values: {labels}")
        return labels


class _Single(Metric):
    """One number per combination of label values."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, help, labels)
        self._values: dict[Labels, float] = {}

    def get(self, *labels: str) -> float:
        """Return the present value; 0 for labels that were never seen."""
        return self._values.get(self._checked(labels), 0.0)

    def inc(self, *labels: str, by: float = 1.0) -> None:
        values = self._values
        if labels in values:
            values[labels] += by
        else:
            values[self._checked(labels)] = by

    def samples(self) -> Iterator[tuple[str, str, float]]:
        for labels, value in list(self._values.items()):
            yield "", _pairs(self.labels, labels), value


class Counter(_Single):
    """Only grows; its name ends in `_total`. Without labels it is shown from the first moment, as 0."""

    kind = "counter"

    def __init__(self, name: str, help: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, help, labels)
        if not labels:
            self._values[()] = 0.0

    def follow(self, value: float, *labels: str) -> None:
        """Take over a total that is counted elsewhere (an adapter that knows no metrics). For collectors."""
        self._values[self._checked(labels)] = value


class Gauge(_Single):
    """Goes up and down. Not shown before it is set: most processes have no use for most gauges."""

    kind = "gauge"

    def set(self, value: float, *labels: str) -> None:
        if labels in self._values:
            self._values[labels] = value
        else:
            self._values[self._checked(labels)] = value

    def replace(self, values: Mapping[Labels, float]) -> None:
        """Set all values at once: what is not among them is gone (a queue that is empty, a partition given away)."""
        self._values = {self._checked(labels): value for labels, value in values.items()}


class Histogram(Metric):
    """How often a value fell into which bucket, and their sum."""

    kind = "histogram"

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS) -> None:
        super().__init__(name, help, labels)
        self.buckets = tuple(buckets)
        self._values: dict[Labels, list[float]] = {}
        if not labels:
            self._values[()] = [0.0] * (len(self.buckets) + 2)

    def observe(self, value: float, *labels: str) -> None:
        counted = self._values.get(labels)
        if counted is None:
            counted = self._values[self._checked(labels)] = [0.0] * (len(self.buckets) + 2)
        counted[bisect_left(self.buckets, value)] += 1
        counted[-1] += value

    def count(self, *labels: str) -> float:
        """Return how many values were observed."""
        counted = self._values.get(self._checked(labels))
        return sum(counted[:-1]) if counted else 0.0

    def total(self, *labels: str) -> float:
        """Return the sum of what was observed."""
        counted = self._values.get(self._checked(labels))
        return counted[-1] if counted else 0.0

    def exposed(self) -> tuple[str, ...]:
        return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")

    def samples(self) -> Iterator[tuple[str, str, float]]:
        names = (*self.labels, "le")
        for labels, counted in list(self._values.items()):
            below = 0.0
            for bound, number in zip((*self.buckets, math.inf), counted, strict=False):
                below += number
                yield "_bucket", _pairs(names, (*labels, _number(bound))), below
            yield "_sum", _pairs(self.labels, labels), counted[-1]
            yield "_count", _pairs(self.labels, labels), below


M = TypeVar("M", bound=Metric)


class Registry:
    """All metrics of a process."""

    def __init__(self) -> None:
        self.metrics: dict[str, Metric] = {}
        self._collectors: dict[str, Collector] = {}
        self._failures = self.counter(
            "levada_scrape_errors_total", "Parts of this page that could not be brought up to date.", ("collector",)
        )

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        return self._add(Counter(name, help, labels))

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        return self._add(Gauge(name, help, labels))

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        return self._add(Histogram(name, help, labels, buckets))

    def collect(self, name: str, collector: Collector) -> Callable[[], None]:
        """Call `collector` before each page; a name that exists is replaced. Returns what takes it out again."""
        self._collectors[name] = collector

        def remove() -> None:
            if self._collectors.get(name) is collector:
                del self._collectors[name]

        return remove

    async def page(self) -> bytes:
        """Return everything in the text format of Prometheus, brought up to date."""
        await asyncio.gather(*(self._bring(name, each) for name, each in list(self._collectors.items())))
        return self.text().encode()

    def text(self) -> str:
        """Return everything as it is now."""
        lines: list[str] = []
        for metric in self.metrics.values():
            lines += (
                f"# HELP {metric.name} {_escaped(metric.help, quotes=False)}",
                f"# TYPE {metric.name} {metric.kind}",
            )
            lines += (f"{metric.name}{suffix}{labels} {_number(value)}" for suffix, labels, value in metric.samples())
        return "\n".join([*lines, ""])

    async def _bring(self, name: str, collector: Collector) -> None:
        try:
            async with asyncio.timeout(COLLECTOR_TIMEOUT_S):
                waits = collector()
                if waits is not None:
                    await waits
        except Exception as error:  # noqa: BLE001  (the other numbers are still true; this one is told to be missing)
            self._failures.inc(name)
            log.warning("metrics of %s could not be brought up to date: %s", name, error or type(error).__name__)

    def _add(self, metric: M) -> M:
        if metric.name in self.metrics:
            raise Defect(f"metric {metric.name} is declared twice")
        self.metrics[metric.name] = metric
        return metric


def _pairs(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
