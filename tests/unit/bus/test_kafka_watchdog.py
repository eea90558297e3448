"""When a consumer is quiet, when it is suspicious, when it is thrown away, and when the process gives up."""

from __future__ import annotations

import pytest

from levada.bus.kafka.watchdog import Pulse, Verdict
from levada.model.errors import Defect


class Watch:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def pulse(watch: Watch) -> Pulse:
    made = Pulse(watch, doubt_s=5, stuck_s=30, rebuilds=3)
    made.expect([0, 1])
    return made


def listen(pulse: Pulse, watch: Watch, seconds: int, stamps: dict[int, int | None]) -> Verdict:
    """Let time pass with a reader that waits all the while."""
    for _ in range(seconds):
        watch.now += 1
        pulse.hear(stamps)
    return pulse.verdict()


def test_empty_fetches_are_a_sign_of_life(pulse: Pulse, watch: Watch) -> None:
    for second in range(100):
        assert listen(pulse, watch, 1, {0: second, 1: second}) is Verdict.WELL


def test_silence_is_suspicious_first_and_then_too_long(pulse: Pulse, watch: Watch) -> None:
    assert listen(pulse, watch, 4, {0: None, 1: None}) is Verdict.WELL
    assert listen(pulse, watch, 2, {0: None, 1: None}) is Verdict.DOUBTFUL
    assert listen(pulse, watch, 25, {0: None, 1: None}) is Verdict.STUCK


def test_one_partition_without_fetches_is_enough(pulse: Pulse, watch: Watch) -> None:
    for second in range(40):
        verdict = listen(pulse, watch, 1, {0: second, 1: 7})
    assert verdict is Verdict.STUCK


def test_time_in_which_nobody_polls_does_not_count(pulse: Pulse, watch: Watch) -> None:
    listen(pulse, watch, 1, {0: 1, 1: 1})
    watch.now += 3600
    pulse.hear({0: 1, 1: 1})
    assert pulse.verdict() is Verdict.WELL


def test_rebuilding_again_and_again_ends_in_a_defect(pulse: Pulse) -> None:
    for _ in range(3):
        pulse.rebuilt()
        pulse.expect([0, 1])
    with pytest.raises(Defect, match="gives up"):
        pulse.rebuilt()


def test_a_fetch_of_every_partition_forgives(pulse: Pulse) -> None:
    for round in range(10):
        pulse.rebuilt()
        pulse.expect([0, 1])
        pulse.hear({0: round, 1: None})
        pulse.hear({0: round, 1: round})
    assert (pulse.in_a_row, pulse.rebuilds) == (0, 10)
