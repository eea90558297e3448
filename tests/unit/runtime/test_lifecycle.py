from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from levada.model.errors import Defect, Transient, UserError
from levada.runtime import lifecycle
from levada.runtime.clock import SystemClock
from levada.runtime.lifecycle import Aborted, Backoff, Lifecycle, PartEnded


class FakeClock(SystemClock):
    """Sleeps no time and remembers for how long it was asked to."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def random(self) -> float:
        return 0.0


def forever(note: Callable[[str], object] = lambda _: None, name: str = "") -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        note(f"start {name}")
        try:
            await asyncio.Event().wait()
        finally:
            note(f"end {name}")

    return run


@pytest.fixture
def life() -> Lifecycle:
    return Lifecycle(FakeClock(), grace_s=1.0)


async def stop_soon(life: Lifecycle) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    life.request_stop("the test is over")


async def test_parts_stop_in_the_reverse_order_of_their_start(life: Lifecycle) -> None:
    told: list[str] = []
    for name in ("pool", "executor", "http"):
        life.add(name, forever(told.append, name))
    await asyncio.gather(life.run(), stop_soon(life))
    assert told == ["start pool", "start executor", "start http", "end http", "end executor", "end pool"]


async def test_on_stopping_comes_before_all_parts_with_the_reason(life: Lifecycle) -> None:
    told: list[str] = []
    life.on_stopping = told.append
    life.add("a", forever(told.append, "a"))
    await asyncio.gather(life.run(), stop_soon(life))
    assert told == ["start a", "the test is over", "end a"]
    assert life.stopping


async def test_a_part_without_a_task_is_only_closed(life: Lifecycle) -> None:
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    life.add("pool", stop=close)
    await asyncio.gather(life.run(), stop_soon(life))
    assert closed.is_set()


async def test_a_part_that_is_told_to_stop_may_finish_its_work(life: Lifecycle) -> None:
    enough = asyncio.Event()
    finished: list[str] = []

    async def work() -> None:
        await enough.wait()
        await asyncio.sleep(0.02)
        finished.append("work")

    async def stop() -> None:
        enough.set()

    life.add("worker", work, stop=stop)
    await asyncio.gather(life.run(), stop_soon(life))
    assert finished == ["work"]


async def test_a_part_that_outlives_its_deadline_is_cancelled(
    life: Lifecycle, caplog: pytest.LogCaptureFixture
) -> None:
    async def stop() -> None:
        return

    life.add("slow", forever(), stop=stop, grace_s=0.05)
    await asyncio.gather(life.run(), stop_soon(life))
    assert "slow did not end within" in caplog.text


async def test_a_part_that_ignores_being_cancelled_does_not_keep_the_process(
    life: Lifecycle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "CANCEL_GRACE_S", 0.05)
    enough = asyncio.Event()

    async def stubborn() -> None:
        while not enough.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await enough.wait()

    life.add("stubborn", stubborn)
    await asyncio.gather(life.run(), stop_soon(life))
    assert "stubborn does not end" in caplog.text
    enough.set()
    await asyncio.sleep(0)


async def test_transient_errors_start_a_part_again_with_growing_pauses(life: Lifecycle) -> None:
    starts = 0

    async def run() -> None:
        nonlocal starts
        starts += 1
        if starts < 5:
            raise Transient("the database is away")
        life.request_stop("well")
        await asyncio.Event().wait()

    life.add("listener", run, backoff=Backoff(first_s=0.1, longest_s=0.5))
    await life.run()
    assert starts == 5
    assert isinstance(life.clock, FakeClock)
    assert life.clock.slept == [0.1, 0.2, 0.4, 0.5]
    assert life.restarts == {"listener": 4}


async def test_a_pause_ends_when_the_process_stops() -> None:
    life = Lifecycle(SystemClock(), grace_s=1.0)

    async def run() -> None:
        raise Transient("away")

    life.add("listener", run, backoff=Backoff(first_s=100.0, longest_s=100.0))
    async with asyncio.timeout(5):
        await asyncio.gather(life.run(), stop_soon(life))
    assert life.restarts == {"listener": 1}


@pytest.mark.parametrize("error", [Defect("bug"), UserError("wrong"), ZeroDivisionError("bug")])
async def test_any_other_error_stops_the_process_loudly(
    life: Lifecycle, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    async def run() -> None:
        await asyncio.sleep(0)
        raise error

    life.add("pool", forever(told.append, "pool"))
    life.add("executor", run)
    with pytest.raises(type(error)) as caught:
        await life.run()
    assert caught.value is error
    assert told[-1] == "end pool"
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.CRITICAL]


async def test_a_part_that_ends_by_itself_is_a_defect_unless_it_is_to_run_once(life: Lifecycle) -> None:
    async def run() -> None:
        return

    life.add("migration", run, once=True)
    await asyncio.gather(life.run(), stop_soon(life))

    life = Lifecycle(FakeClock())
    life.add("executor", run)
    with pytest.raises(PartEnded, match="executor ended"):
        await life.run()


async def test_an_error_while_stopping_is_raised_and_the_rest_stops_too(life: Lifecycle) -> None:
    told: list[str] = []

    async def stop() -> None:
        raise Defect("cannot flush")

    life.add("pool", forever(told.append, "pool"))
    life.add("logs", forever(), stop=stop)
    with pytest.raises(Defect, match="cannot flush"):
        await asyncio.gather(life.run(), stop_soon(life))
    assert told == ["start pool", "end pool"]


async def test_a_part_added_while_running_starts_at_once(life: Lifecycle) -> None:
    told: list[str] = []

    async def adder() -> None:
        life.add("late", forever(told.append, "late"))

    life.add("adder", adder, once=True)
    await asyncio.gather(life.run(), stop_soon(life))
    assert told == ["start late", "end late"]


async def test_the_first_signal_stops_in_order_and_the_second_at_once() -> None:
    life = Lifecycle(SystemClock(), grace_s=60.0)

    async def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    async def signals() -> None:
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    life.add("worker", forever(), stop=stop)
    async with asyncio.timeout(10):
        with pytest.raises(Aborted):
            await asyncio.gather(life.run(), signals())


async def test_cancelling_run_stops_all_parts(life: Lifecycle) -> None:
    told: list[str] = []
    life.add("a", forever(told.append, "a"))
    running = asyncio.create_task(life.run(handle_signals=False))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert told == ["start a", "end a"]


def test_backoff_doubles_to_its_limit_and_chance_shortens_it() -> None:
    backoff = Backoff(first_s=0.1, longest_s=30.0)
    assert [backoff.pause_s(n, 0.0) for n in (1, 2, 3, 20, 10_000)] == [0.1, 0.2, 0.4, 30.0, 30.0]
    assert backoff.pause_s(1, 0.999) == pytest.approx(0.05, rel=0.01)


PROCESS = """
import asyncio
from levada.runtime.clock import SystemClock
from levada.runtime.lifecycle import Lifecycle, run_process
async def main():
    life = Lifecycle(SystemClock())
    async def part():
        print("up", flush=True)
        await asyncio.Event().wait()
    life.add("part", part)
    await life.run()
    print("down", flush=True)
run_process(main)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_ends_with_code_0_on_a_signal(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROCESS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "down\n")
