"""The module that Python scripts import to hand outputs, metrics and log lines to the orchestrator.

    from kestra import Kestra

    Kestra.outputs({"rows": 3})
    Kestra.counter("rows", 3, {"table": "users"})
    Kestra.timer("load", 1.5)
    Kestra.logger().warning("late data")

Everything travels as one line `::{…}::` on the standard output. Only the standard library; the names are those of the
package that Kestra publishes. To start flows from a script, add that package to the task's `dependencies`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

_LEVELS = ((logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"), (logging.DEBUG, "DEBUG"))


class Kestra:
    """Static methods only."""

    _logger: logging.Logger | None = None

    @staticmethod
    def _send(message: dict[str, Any]) -> None:
        sys.stdout.write("::" + json.dumps(message, default=str) + "::\n")
        sys.stdout.flush()

    @staticmethod
    def _metric(name: str, kind: str, value: float, tags: dict[str, str] | None) -> None:
        Kestra._send({"metrics": [{"name": name, "type": kind, "value": value, "tags": tags or {}}]})

    @staticmethod
    def outputs(values: dict[str, Any]) -> None:
        """Publish a map of outputs; later calls add to it."""
        Kestra._send({"outputs": values})

    @staticmethod
    def assets(values: Any) -> None:
        """Publish assets."""
        Kestra._send({"assets": values})

    @staticmethod
    def counter(name: str, value: float, tags: dict[str, str] | None = None) -> None:
        """Add to a counter."""
        Kestra._metric(name, "counter", value, tags)

    @staticmethod
    def gauge(name: str, value: float, tags: dict[str, str] | None = None) -> None:
        """Set a gauge."""
        Kestra._metric(name, "gauge", value, tags)

    @staticmethod
    def timer(name: str, duration: float | Callable[[], Any], tags: dict[str, str] | None = None) -> None:
        """Record a duration in seconds; a callable is called and its time taken."""
        if callable(duration):
            begun = time.perf_counter()
            duration()
            duration = time.perf_counter() - begun
        Kestra._metric(name, "timer", duration, tags)

    @staticmethod
    def logger() -> logging.Logger:
        """Return a logger whose lines keep their level."""
        if Kestra._logger is None:
            logger = logging.getLogger("Kestra")
            logger.setLevel(logging.DEBUG)
            logger.propagate = False
            logger.addHandler(_Handler())
            Kestra._logger = logger
        return Kestra._logger


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for number, name in _LEVELS if record.levelno >= number), "TRACE")
        Kestra._send({"logs": [{"level": level, "message": self.format(record)}]})


class Flow:
    """Starting flows needs the client that Kestra publishes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ImportError("add the package `kestra` to the task's `dependencies` to start flows from a script")
