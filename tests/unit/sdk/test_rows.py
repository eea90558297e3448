"""Rows in files: JSON lines out, JSON or Ion lines in, one at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from levada.sdk import rows


async def chunks(text: str, size: int = 5) -> AsyncIterator[bytes]:
    data = text.encode()
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def collected(source: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in source]


def test_a_row_is_one_line_of_json() -> None:
    assert rows.encode({"a": Decimal("1.50"), "d": date(2024, 2, 29), "b": b"\x00", "t": "x\ny"}) == (
        b'{"a":1.50,"d":"2024-02-29","b":"AA==","t":"x\\ny"}\n'
    )


async def test_rows_come_back_as_they_went() -> None:
    given = [{"n": n, "text": "ü" * n} for n in range(50)]
    text = b"".join(await collected(rows.pieces(given))).decode()
    assert await collected(rows.read(chunks(text))) == given


async def test_kestras_rows_are_read_too() -> None:
    text = '{name:"a",n:1d0,at:2024-01-01T00:00:00Z,nothing:null.string}\n\n{"name": "b"}'
    first, second = await collected(rows.read(chunks(text)))
    assert (first["name"], first["nothing"], first["n"]) == ("a", None, 1)
    assert second == {"name": "b"}


async def test_a_line_that_is_no_row_is_named() -> None:
    with pytest.raises(rows.BadRow, match="line 2 of the file is neither JSON nor Ion"):
        await collected(rows.read(chunks('{"a": 1}\nname,age\n')))
    with pytest.raises(rows.BadRow, match=r"line 1 of x\.ion holds 2 values"):
        await collected(rows.read(chunks("{a:1} {a:2}"), "x.ion"))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_records_are_cut_behind_separators_of_any_length(size: int) -> None:
    assert await collected(rows.records(chunks("a--b-c----d", size), b"--")) == [b"a--", b"b-c--", b"--", b"d"]
    assert await collected(rows.records(chunks("a\n", size))) == [b"a\n"]
    assert await collected(rows.records(chunks("", size))) == []


async def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_LINE_BYTES", 1024)
    with pytest.raises(rows.BadRow, match="a line of more than"):
        await collected(rows.records(chunks("x" * 5000)))


async def test_a_reader_that_stops_early_ends_the_source() -> None:
    ended = False

    async def source() -> AsyncIterator[bytes]:
        nonlocal ended
        try:
            while True:
                yield b"line\n"
        finally:
            ended = True

    reader = rows.records(source())
    assert await anext(reader) == b"line\n"
    await reader.aclose()  # type: ignore[attr-defined]
    assert ended
