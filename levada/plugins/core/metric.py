"""`core.metric.*`: metrics of one's own."""

from datetime import timedelta
from typing import Any

from levada.sdk import InlineTask, Part


class CounterMetric(Part, frozen=True, tag_field="type", tag="counter"):
    name: str
    value: float
    tags: dict[str, Any] | None = None
    description: str | None = None


class TimerMetric(Part, frozen=True, tag_field="type", tag="timer"):
    name: str
    value: timedelta
    tags: dict[str, Any] | None = None
    description: str | None = None


class GaugeMetric(Part, frozen=True, tag_field="type", tag="gauge"):
    name: str
    value: float
    tags: dict[str, Any] | None = None
    description: str | None = None


class Publish(InlineTask):
    """Records counters, timers and gauges for this task run; evaluated by the executor."""

    TYPE = "core.metric.Publish"

    metrics: list[CounterMetric | TimerMetric | GaugeMetric] | None = None


TASKS = [Publish]
