"""Bytes to lines, whatever the chunks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada_worker.process.lines import Lines


def split(chunks: list[bytes], cap: int = 100, markup_cap: int = 1000) -> list[str]:
    lines = Lines(cap, markup_cap)
    return [line for chunk in [*[chunk for chunk in chunks if chunk], b""] for line in lines.feed(chunk)]


@given(st.text(alphabet="ab\n\r€", max_size=60), st.lists(st.integers(1, 9), max_size=30))
def test_chunks_make_no_difference(text: str, sizes: list[int]) -> None:
    data = text.encode()
    chunks, at = [], 0
    for size in sizes:
        chunks.append(data[at : at + size])
        at += size
    chunks.append(data[at:])
    assert split(chunks) == split([data])


def test_the_last_line_needs_no_end() -> None:
    assert split([b"one\ntwo"]) == ["one", "two"]
    assert split([b"one\n"]) == ["one"]
    assert split([b""]) == []
    assert split([b"\n\n"]) == ["", ""]


def test_ends_of_line_of_windows_are_ends_too() -> None:
    assert split([b"one\r", b"\ntwo\rthree\r\n"]) == ["one", "two\rthree"]


@pytest.mark.parametrize("chunk", [1, 7, 100, 10_000])
def test_a_long_line_is_cut_and_counted(chunk: int) -> None:
    data = b"x" * 250 + b"\nnext\n"
    chunks = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    assert split(chunks) == ["x" * 100 + "… [line cut: 150 bytes more]", "next"]


def test_lines_of_the_protocol_may_be_longer() -> None:
    line = b"::{" + b"x" * 500 + b"}::"
    assert split([line[:2], line[2:50], line[50:], b"\n"]) == [line.decode()]


def test_bad_bytes_are_replaced() -> None:
    assert split([b"caf\xe9 \x00 \xe2\x82", b"\xac\n"]) == ["caf\ufffd \ufffd \u20ac"]
