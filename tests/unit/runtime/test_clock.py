from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.runtime import clock

NOWS = st.integers(min_value=0, max_value=4_102_444_800_000_000)


@given(NOWS, st.binary(min_size=8, max_size=8))
def test_an_id_has_22_characters_and_remembers_its_time(now_us: int, chance: bytes) -> None:
    text = clock.base62(clock.uuid7(now_us, chance))
    assert len(text) == 22
    assert text.isascii()
    assert text.isalnum()
    assert clock.id_time_us(text) == now_us


@given(NOWS, NOWS, st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
def test_ids_of_different_microseconds_sort_by_time(first: int, second: int, a: bytes, b: bytes) -> None:
    if first != second:
        ids = clock.base62(clock.uuid7(first, a)), clock.base62(clock.uuid7(second, b))
        assert (ids[0] < ids[1]) == (first < second)


def test_an_id_is_a_version_7_uuid_of_the_rfc_variant() -> None:
    number = clock.from_base62(clock.new_id(clock.SystemClock()))
    assert number >> 76 & 0xF == 7
    assert number >> 62 & 0b11 == 0b10


def test_ids_do_not_repeat() -> None:
    system = clock.SystemClock()
    assert len({clock.new_id(system) for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("text", ["", "short", "!" * 22])
def test_text_that_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"id has 22|substring"):
        clock.from_base62(text)


async def test_the_system_clock_moves_forward() -> None:
    system = clock.SystemClock()
    wall, before = system.now_us(), system.monotonic()
    await asyncio.gather(system.sleep(0.01), system.sleep(-1))
    assert system.monotonic() - before >= 0.01
    assert system.now_us() > wall
    assert len(system.random_bytes(5)) == 5
    assert 0 <= system.random() < 1
