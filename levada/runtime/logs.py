"""What the process itself prints: lines for a person, or JSON for a machine.

Standard library logging throughout, so that libraries print the same way; modules use `logging.getLogger(__name__)`.
This is the log of Levada's own processes. What tasks print belongs to executions and is stored, not printed here.

`with logs.bound(execution=…, task_run=…):` attaches ids to every line written inside it, in this task and the tasks it
starts. Text from outside may contain control characters and line ends; neither may reach a terminal as they are, since
they could hide or forge lines.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

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
    format: str = "text", level: str = "info", levels: Mapping[str, str] | None = None, stream: TextIO | None = None
) -> None:
    """Print log lines to `stream` (stderr), replacing what was configured before.

    `format` is `text` or `json`, `level` one of LEVELS, `levels` the levels of single loggers.
    """
    stream = stream or sys.stderr
    logging.addLevelName(TRACE, "TRACE")
    handler = logging.StreamHandler(stream)
    handler.addFilter(_attach_ids)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter(colours=stream.isatty()))
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
    """One JSON object on one line: timestamp, level, logger, message, the bound ids, the exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": _timestamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "ids", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


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


def visible(text: str) -> str:
    """Return the text with control characters, other than line ends and tabs, spelt out as `\\x1b`."""
    return text.translate(_SPELT_OUT)


_SPELT_OUT = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def _attach_ids(record: logging.LogRecord) -> bool:
    record.ids = _ids.get()
    return True


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
