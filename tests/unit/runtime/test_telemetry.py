from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import pytest
from collector import Collector, collecting

from levada.runtime import logs, metrics, telemetry
from levada.runtime.config.tree import Telemetry

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = CALLER[:-1] + "0"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as collector:
        yield collector


@pytest.fixture
async def on(collector: Collector) -> AsyncIterator[Callable[[], None]]:
    stop = telemetry.configure(Telemetry(otlp_endpoint=collector.url, headers={"api-key": "k"}), "test")
    yield stop
    await asyncio.to_thread(stop)


def test_nothing_of_the_sdk_is_loaded_while_traces_are_off() -> None:
    code = (
        "import sys\nfrom levada.runtime import service, telemetry\n"
        "with telemetry.span('x') as span: assert span.traceparent is None\n"
        "sys.exit(any(name.startswith(('opentelemetry', 'google', 'requests')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_callers_trace_is_passed_on_even_when_nothing_is_recorded() -> None:
    assert not telemetry.enabled()
    with telemetry.span("request", parent=CALLER) as span:
        span.set(a=1)
        span.fail("so what")
        assert telemetry.headers() == {"traceparent": CALLER}
        assert telemetry.new_trace("e1") == CALLER
    assert telemetry.headers() == {}
    assert telemetry.new_trace("e1") is None
    telemetry.record("over", CALLER, 1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "ff" + CALLER[2:],
        CALLER.upper(),
        CALLER[:-3],
        CALLER + "\n",
    ],
)
def test_what_is_no_traceparent_is_not_passed_on(text: str) -> None:
    assert telemetry.extract({"traceparent": text}) is None
    assert telemetry.of_execution("e1", text) is None
    assert not telemetry.sampled(text)


def test_a_traceparent_of_a_later_version_is_understood() -> None:
    later = "01" + CALLER[2:] + "-more"
    assert telemetry.extract({"traceparent": later}) == later
    assert telemetry.of_execution("e1", later) == later, "while nothing is recorded"


async def test_spans_arrive_with_parents_attributes_links_and_errors(
    collector: Collector, on: Callable[[], None]
) -> None:
    with telemetry.span("request", parent=CALLER, kind="server", attributes={"http.route": "/x"}) as outer:
        with contextlib.suppress(ValueError), telemetry.span("inner", links=[CALLER]) as inner:
            inner.set(levada_task_type="Log")
            raise ValueError("wrong")
        assert telemetry.current() == outer.traceparent
    telemetry.record("past", outer.traceparent, 1_000_000, 3_000_000)
    await asyncio.to_thread(on)
    request, inside, past = (collector.named(name)[0] for name in ("request", "inner", "past"))
    assert {span.trace for span in collector.spans} == {CALLER[3:35]}
    assert (request.parent, inside.parent, past.parent) == (CALLER[36:52], request.id, request.id)
    assert request.attributes == {"http.route": "/x"}
    assert request.service == "levada-test"
    assert (inside.attributes, inside.error) == ({"levada.task.type": "Log"}, "ValueError: wrong")
    assert inside.links == (CALLER[36:52],)
    assert (past.start_us, past.end_us) == (1_000_000, 3_000_000)
    assert collector.headers[0]["api-key"] == "k"


async def test_an_executions_span_can_be_named_before_it_ends(collector: Collector, on: Callable[[], None]) -> None:
    parent = telemetry.of_execution("e1", CALLER)
    telemetry.record("decide", parent, 1, 2)
    telemetry.record_execution("e1", CALLER, 0, 5, name="execution", attributes={}, error="it failed")
    own = telemetry.new_trace("e2")
    telemetry.record_execution("e2", own, 0, 5, name="alone", attributes={})
    telemetry.record("next", own, 1, 2)
    await asyncio.to_thread(on)
    decide, execution, alone, after = (collector.named(name)[0] for name in ("decide", "execution", "alone", "next"))
    assert decide.parent == execution.id == telemetry.span_id_of("e1")
    assert (execution.parent, execution.error) == (CALLER[36:52], "it failed")
    assert (alone.parent, alone.id, alone.trace) == ("", telemetry.span_id_of("e2"), str(own)[3:35])
    assert after.trace == alone.trace
    assert len(after.id) == 16
    assert after.id != alone.id


async def test_what_the_caller_does_not_sample_is_not_recorded(collector: Collector, on: Callable[[], None]) -> None:
    with telemetry.span("request", parent=UNSAMPLED) as span:
        assert str(span.traceparent).endswith("-00")
        assert str(span.traceparent)[3:35] == UNSAMPLED[3:35]
    telemetry.record("past", UNSAMPLED, 1, 2)
    await asyncio.to_thread(on)
    assert collector.spans == []


async def test_the_ratio_holds_for_traces_that_begin_here(collector: Collector) -> None:
    stop = telemetry.configure(Telemetry(otlp_endpoint=collector.url, sample_ratio=0.0), "test")
    assert str(telemetry.new_trace("e1")).endswith("-00")
    with telemetry.span("request"):
        pass
    await asyncio.to_thread(stop)
    assert collector.spans == []
    assert not telemetry.enabled()


async def test_a_collector_that_refuses_costs_spans_and_nothing_else(
    collector: Collector, on: Callable[[], None]
) -> None:
    collector.status = 400
    dropped = metrics.SPANS_DROPPED.get("collector")
    with telemetry.span("request"):
        pass
    await asyncio.to_thread(on)
    assert metrics.SPANS_DROPPED.get("collector") == dropped + 1


async def test_log_lines_say_in_which_span_they_were_written(on: Callable[[], None]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    logs.configure("json", stream=out)
    try:
        with telemetry.span("request", parent=CALLER) as span, telemetry.span("inner") as inner:
            logging.getLogger("levada.test").info("inside")
            assert inner.traceparent != span.traceparent
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
    line = json.loads(out.getvalue())
    assert line["trace_id"] == CALLER[3:35]
    assert line["span_id"] == str(inner.traceparent)[36:52]
