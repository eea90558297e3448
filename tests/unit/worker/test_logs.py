"""The way of log lines to the store."""

import asyncio

import pytest

from levada.model.errors import Transient
from levada.model.jobs import LogEntry, MetricEntry
from levada_worker.attempt_log import LINE_COST_BYTES, AttemptLog
from levada_worker.logs import CROWDED_LINES, FULL_LINES, Identity, LogBuffer
from levada_worker.mask import Masker

ME = Identity(
    execution_id="e", namespace="n", flow_id="f", tenant="main", task_id="t", task_run_id="r", attempt=1
)  # fmt: skip


class Sink:
    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.metrics: list[MetricEntry] = []
        self.calls = 0
        self.problems: list[Exception] = []
        self.open = asyncio.Event()
        self.open.set()

    async def write_logs(self, entries: list[LogEntry]) -> None:
        await self.open.wait()
        self.calls += 1
        if self.problems:
            raise self.problems.pop(0)
        self.entries += entries

    async def write_metrics(self, entries: list[MetricEntry]) -> None:
        self.metrics += entries


def log_of(sink: Sink, **limits: int) -> AttemptLog:
    return AttemptLog(ME, LogBuffer(sink), Masker(), lambda: 1_000_000, **limits)


async def test_lines_of_a_moment_are_written_together_and_in_order() -> None:
    sink = Sink()
    log = log_of(sink)
    for number in range(1200):
        log.write("INFO", str(number))
    log.metric("counter", "rows", 2.0, {})
    await log.buffer.flush()
    assert [entry.message for entry in sink.entries] == [str(number) for number in range(1200)]
    assert [entry.seq for entry in sink.entries] == list(range(1, 1201))
    assert sink.calls == 1
    assert [metric.name for metric in sink.metrics] == ["rows"]


async def test_lines_are_written_soon_without_being_asked_for() -> None:
    sink = Sink()
    log = log_of(sink)
    log.write("INFO", "one")
    async with asyncio.timeout(2):
        while not sink.entries:  # noqa: ASYNC110  the buffer writes by its own clock
            await asyncio.sleep(0.01)


async def test_flushing_nothing_costs_nothing() -> None:
    sink = Sink()
    await LogBuffer(sink).flush()
    assert sink.calls == 0


async def test_a_store_that_is_away_is_waited_for() -> None:
    sink = Sink()
    sink.problems = [Transient("away"), Transient("away")]
    log = log_of(sink)
    log.write("INFO", "kept")
    await log.buffer.flush()
    assert [entry.message for entry in sink.entries] == ["kept"]


async def test_a_refused_batch_is_given_up_loudly(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    sink.problems = [ValueError("no such column")]
    log = log_of(sink)
    log.write("INFO", "lost")
    await log.buffer.flush()
    log.write("INFO", "kept")
    await log.buffer.flush()
    assert [entry.message for entry in sink.entries] == ["kept"]
    assert "are lost" in caplog.text


async def test_a_crowded_buffer_says_so_and_calls_back() -> None:
    sink = Sink()
    sink.open.clear()
    log = log_of(sink)
    for _ in range(5 * CROWDED_LINES):
        log.write("INFO", "x")
    await asyncio.sleep(0)
    assert log.buffer.crowded
    called = asyncio.Event()
    log.buffer.when_room(called.set)
    sink.open.set()
    async with asyncio.timeout(2):
        await called.wait()
    assert not log.buffer.crowded


async def test_lines_beyond_all_bounds_are_counted() -> None:
    sink = Sink()
    sink.open.clear()
    log = log_of(sink)
    for _ in range(FULL_LINES + 5000):
        log.write("INFO", "x")
    sink.open.set()
    await log.buffer.flush()
    log.close()
    await log.buffer.flush()
    assert "lines were dropped because the log store was too slow" in sink.entries[-1].message


async def test_beyond_its_limit_an_attempt_is_sampled() -> None:
    sink = Sink()
    log = log_of(sink, limit_bytes=100 * (10 + LINE_COST_BYTES))
    for _ in range(5000):
        log.write("INFO", "x" * 10)
    log.close()
    await log.buffer.flush()
    lines = [entry.message for entry in sink.entries if entry.level == "INFO"]
    assert 100 <= len(lines) <= 110
    notices = [entry.message for entry in sink.entries if entry.level == "WARN"]
    assert len(notices) == 2
    assert "limit" in notices[0]


async def test_secrets_are_hidden_before_a_line_is_cut() -> None:
    sink = Sink()
    log = log_of(sink, line_bytes=100)
    log.masker.add(["correct horse battery"])
    log.write("INFO", "x" * 90 + "correct horse battery" + "y" * 1000)
    await log.buffer.flush()
    assert "correct" not in sink.entries[0].message
    assert "[line cut" in sink.entries[0].message


async def test_odd_characters_and_levels_are_made_storable() -> None:
    sink = Sink()
    log = log_of(sink)
    log.write("warn", "a\x00b \ud800")
    log.write("LOUD", "x")
    await log.buffer.flush()
    assert [(entry.level, entry.message) for entry in sink.entries] == [("WARN", "a\ufffdb ?"), ("INFO", "x")]
