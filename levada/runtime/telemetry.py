"""Traces: one execution is one trace, from the request that asked for it to the processes that its tasks start.

What travels between services is W3C's `traceparent`, a line of text: in the header of a request, in
`StartExecution.trace_parent` (kept with the execution, and put into every job), in the headers of bus records, in the
environment of a task's processes. It is passed on even when nothing is recorded here, so a caller's trace is never cut.

    api            request          whoever asked, or a new trace
    executor       execution        the request that started it; its span's id follows from the execution's id, so every
                                    service can name it as a parent long before it has ended and is sent
    executor       decide           the execution, with links to what caused the decision
    worker         attempt          the execution; `TRACEPARENT` of the task's processes and of its HTTP requests
    gateway        request          the attempt

Spans are made and sent by OpenTelemetry's SDK (`otel.py`), which is loaded only when `telemetry.otlp_endpoint` is set.
Without it this module costs a comparison. It never raises because of a collector that is away; what is lost is counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

from levada.runtime import logs
from levada.runtime.config.tree import Telemetry

if TYPE_CHECKING:
    from levada.runtime.otel import Exporting

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | bool | float]

HEADER = "traceparent"
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")

_current: ContextVar[str | None] = ContextVar("levada_traceparent", default=None)
_exporting: Exporting | None = None


class Span:
    """What is being recorded. `traceparent` names it as a parent; None when there is neither span nor caller's trace."""

    __slots__ = ("_real", "traceparent")

    def __init__(self, traceparent: str | None, real: Any = None) -> None:
        self.traceparent = traceparent
        self._real = real

    def rename(self, name: str) -> None:
        """Give it the name that is known only now."""
        if self._real is not None:
            self._real.update_name(name)

    def set(self, **attributes: str | bool | float) -> None:
        """Add attributes; `_` becomes `.` in a name that has no dot."""
        if self._real is not None:
            named = {name if "." in name else name.replace("_", "."): value for name, value in attributes.items()}
            self._real.set_attributes(named)

    def fail(self, message: str) -> None:
        """Say that what the span stands for failed."""
        if self._real is not None:
            assert _exporting is not None
            _exporting.fail(self._real, message)


def configure(config: Telemetry, service: str, *, environment: str | None = None) -> Callable[[], None]:
    """Record from now on, if an endpoint is set; call what this returns at the end of the process.

    That may block for as long as `otel.SHUTDOWN_S` while the last spans are sent.
    """
    global _exporting
    if config.otlp_endpoint is None:
        return lambda: None
    from levada.runtime.otel import Exporting  # a quarter of a second and 20 MiB: only for those who want traces

    exporting = _exporting = Exporting(config, service, environment)

    def stop() -> None:
        global _exporting
        if _exporting is exporting:
            _exporting = None
        exporting.close()

    return stop


def enabled() -> bool:
    """Whether spans are recorded."""
    return _exporting is not None


def current() -> str | None:
    """Return the traceparent of what this code runs in."""
    return _current.get()


def headers() -> dict[str, str]:
    """Return what to send along with a request or a record."""
    parent = _current.get()
    return {} if parent is None else {HEADER: parent}


def extract(carrier: Mapping[str, str]) -> str | None:
    """Return the traceparent that came along; None when there is none, or none that could be one."""
    text = carrier.get(HEADER)
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


def new_trace(execution_id: str) -> str | None:
    """Return the trace of an execution that is asked for now: that of the code that asks, else one of its own.

    None when nothing is recorded and nobody asked within a trace. The one of its own names the execution's span.
    """
    parent = _current.get()
    if parent is not None or _exporting is None:
        return parent
    return _exporting.new_trace(span_id_of(execution_id))


def of_execution(execution_id: str, trace_parent: str | None) -> str | None:
    """Return the traceparent of the execution's own span: the parent of all that is done for it.

    While nothing is recorded there is no such span: then it is that of whoever asked.
    """
    found = None if trace_parent is None else _TRACEPARENT.fullmatch(trace_parent)
    if found is None or _exporting is None:
        return trace_parent if found is not None else None
    return f"00-{found[1]}-{span_id_of(execution_id)}-{found[3]}"


def sampled(traceparent: str | None) -> bool:
    """Whether a span below this parent would be recorded. Cheap: ask before gathering what to record."""
    if _exporting is None or traceparent is None:
        return False
    found = _TRACEPARENT.fullmatch(traceparent)
    return found is not None and bool(int(found[3], 16) & 1)


def span_id_of(execution_id: str) -> str:
    """Return the id of an execution's span: 16 hexadecimal digits."""
    return hashlib.blake2b(execution_id.encode(), digest_size=8).hexdigest()


@contextlib.contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    kind: Kind = "internal",
    attributes: Attributes | None = None,
    links: Sequence[str] = (),
) -> Iterator[Span]:
    """Record what runs inside; an exception that leaves it marks it as failed.

    `parent` None: what this code runs in already, else a new trace.
    """
    parent = parent if parent is not None else _current.get()
    made = Span(parent) if _exporting is None else Span(*_exporting.start(name, parent, kind, attributes, links))
    if made.traceparent is None:
        yield made
        return
    token = _current.set(made.traceparent)
    try:
        with logs.bound(trace_id=made.traceparent[3:35], span_id=made.traceparent[36:52]):
            yield made
    except Exception as error:
        made.fail(f"{type(error).__name__}: {error}")
        raise
    finally:
        _current.reset(token)
        if made._real is not None:
            made._real.end()


def record(
    name: str,
    parent: str | None,
    start_us: int,
    end_us: int,
    *,
    kind: Kind = "internal",
    attributes: Attributes | None = None,
    links: Sequence[str] = (),
    error: str | None = None,
) -> None:
    """Record what is over already; times are epoch microseconds."""
    if _exporting is not None and sampled(parent):
        times = (start_us, end_us)
        _exporting.record(name, parent, times, kind=kind, attributes=attributes, links=links, error=error)


def record_execution(
    execution_id: str,
    trace_parent: str | None,
    start_us: int,
    end_us: int,
    *,
    name: str,
    attributes: Attributes,
    error: str | None = None,
) -> None:
    """Record an execution that has ended, under the id that everything done for it named as its parent."""
    if _exporting is not None and sampled(trace_parent):
        span_id, times = span_id_of(execution_id), (start_us, end_us)
        _exporting.record(name, trace_parent, times, attributes=attributes, error=error, span_id=span_id)
