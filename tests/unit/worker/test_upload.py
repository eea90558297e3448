"""Content that is read once and sent as often as gateways die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from levada_worker.gateway.upload import CHUNK_BYTES, Upload


async def source(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def everything(upload: Upload) -> bytes:
    return b"".join([chunk async for chunk in upload.chunks()])


async def test_every_try_gets_the_whole_content() -> None:
    async with Upload(source(b"one ", b"", b"two ", b"three")) as upload:
        assert [await everything(upload) for _ in range(3)] == [b"one two three"] * 3


async def test_a_try_that_was_cut_off_costs_nothing_of_the_content() -> None:
    async with Upload(source(b"one ", b"two ", b"three")) as upload:
        first = upload.chunks()
        assert await anext(first) == b"one "
        await first.aclose()  # type: ignore[attr-defined]  # it is a generator
        assert await everything(upload) == b"one two three"


async def test_a_try_that_was_cut_off_while_it_waited_hands_its_wait_on() -> None:
    more = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"one "
        await more.wait()
        yield b"two"

    async with Upload(slow()) as upload:
        waiting = asyncio.create_task(everything(upload))
        await asyncio.sleep(0.05)
        waiting.cancel()
        second = asyncio.create_task(everything(upload))
        await asyncio.sleep(0.01)
        more.set()
        assert await second == b"one two"


async def test_two_tries_at_a_time_do_not_take_each_others_chunks() -> None:
    async with Upload(source(*(bytes([n]) * 10 for n in range(50)))) as upload:
        whole = b"".join(bytes([n]) * 10 for n in range(50))
        assert await asyncio.gather(everything(upload), everything(upload)) == [whole, whole]


async def test_large_chunks_come_again_in_pieces() -> None:
    async with Upload(source(b"x" * (3 * CHUNK_BYTES + 1))) as upload:
        assert [len(chunk) async for chunk in upload.chunks()] == [CHUNK_BYTES] * 3 + [1]


async def test_what_the_source_raises_comes_out_of_every_try() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError("no more rows")

    async with Upload(broken()) as upload:
        for _ in range(2):
            with pytest.raises(ValueError, match="no more rows"):
                await everything(upload)
        assert isinstance(upload.problem, ValueError)


async def test_nothing_is_left_of_an_upload_that_was_given_up() -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with Upload(endless()) as upload:
        assert await anext(upload.chunks()) == b"one"
        waiting = asyncio.create_task(everything(upload))
        await asyncio.sleep(0.05)
        waiting.cancel()
    assert ended.is_set()
