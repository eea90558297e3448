"""`core.metric.*`: metrics of one's own; the executor evaluates Publish (`run`: inside a WorkingDirectory)."""

from datetime import timedelta
from typing import Any

from levada.sdk import InlineTask, Part, RunContext


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

    async def run(self, ctx: RunContext) -> None:
        """Timers are recorded in milliseconds."""
        for metric in self.metrics or []:
            tags = {name: str(value) for name, value in (metric.tags or {}).items()}
            match metric:
                case CounterMetric():
                    ctx.counter(metric.name, metric.value, **tags)
                case TimerMetric():
                    ctx.timer(metric.name, metric.value / timedelta(milliseconds=1), **tags)
                case GaugeMetric():
                    ctx.gauge(metric.name, metric.value, **tags)


TASKS = [Publish]
