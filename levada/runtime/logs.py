"""What the process itself prints: lines for a person, or JSON for a machine.

Standard library logging throughout, so that libraries print the same way; modules use `logging.getLogger(__name__)`.
This is the log of Levada's own processes. What tasks print belongs to executions and is stored, not printed here.

`with logs.bound(execution_id=…, task_run_id=…):` attaches ids to every line written inside it, in this task and the tasks
it starts; a span of a trace attaches its `trace_id` and `span_id` the same way. Text from outside may contain control
characters and line ends; neither may reach a terminal as they are, since they could hide or forge lines.

A line of JSON has: time, level, logger, message, service, instance, the ids that are bound, exception, stack.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from levada.runtime import metrics

TRACE = 5
"""A level below DEBUG, as Kestra has it."""

LEVELS: Mapping[str, int] = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_ids: ContextVar[Mapping[str, str]] = ContextVar("levada_log_ids", default={})  # noqa: B039  (never changed in place)


def configure(
    format: str = "text",
    level: str = "info",
    levels: Mapping[str, str] | None = None,
    stream: TextIO | None = None,
    *,
    service: str = "levada",
) -> None:
    """Print log lines to `stream` (stderr), replacing what was configured before.

    `format` is `text` or `json`, `level` one of LEVELS, `levels` the levels of single loggers; `service` is what lines of
    JSON say that they come from.
    """
    stream = stream or sys.stderr
    logging.addLevelName(TRACE, "TRACE")
    handler = logging.StreamHandler(stream)
    handler.addFilter(_attach_ids)
    handler.setFormatter(JsonFormatter(service) if format == "json" else TextFormatter(colours=stream.isatty()))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    for name, one in (levels or {}).items():
        logging.getLogger(name).setLevel(LEVELS[one])
    logging.captureWarnings(True)


@contextlib.contextmanager
def bound(**ids: str | None) -> Iterator[None]:
    """Attach ids to every line written inside; None attaches nothing."""
    token = _ids.set({**_ids.get(), **{name: value for name, value in ids.items() if value is not None}})
    try:
        yield
    finally:
        _ids.reset(token)


class JsonFormatter(logging.Formatter):
    """One JSON object on one line; what it has stands at the top of this module."""

    def __init__(self, service: str = "levada") -> None:
        super().__init__()
        self._origin = {"service": service, "instance": f"{socket.gethostname()}/{os.getpid()}"}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _timestamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._origin,
            **getattr(record, "ids", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return _json(line)


class TextFormatter(logging.Formatter):
    """Time, level, logger, message, ids; further lines of a message are indented so that they cannot pass for a line."""

    COLOURS: Mapping[int, str] = {
        TRACE: "2",
        logging.DEBUG: "2",
        logging.INFO: "32",
        logging.WARNING: "33",
        logging.ERROR: "31",
    }

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        if record.stack_info:
            message = f"{message}\n{record.stack_info}"
        ids = " ".join(f"{name}={value}" for name, value in getattr(record, "ids", {}).items())
        first, *more = visible(message).split("\n")
        level = self._paint(self.COLOURS.get(record.levelno, "1;31"), f"{record.levelname:<7}")
        head = f"{self._paint('2', _timestamp(record))} {level} {self._paint('36', record.name)}: {first}"
        return "\n    ".join([f"{head}  {self._paint('2', visible(ids))}" if ids else head, *more])

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


def _json(line: Mapping[str, Any]) -> str:
    """Return the object as text that no terminal and no splitter of lines takes for anything else."""
    try:
        text = orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # half a surrogate pair, as in the name of a file that is no UTF-8
        return json.dumps(line, default=str)
    return text.translate(_ESCAPED)


def visible(text: str) -> str:
    """Return the text with control characters, other than line ends and tabs, spelt out as `\\x1b`."""
    return text.translate(_SPELT_OUT)


#: JSON itself asks only for those below the space; these control terminals too, or end lines for some readers.
_ESCAPED = {code: f"\\u{code:04x}" for code in (*range(127, 160), 0x2028, 0x2029)}
_SPELT_OUT = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def _attach_ids(record: logging.LogRecord) -> bool:
    metrics.LOG_LINES.inc(record.levelname)
    record.ids = _ids.get()
    return True


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
