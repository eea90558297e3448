"""Identifiers and random numbers, all made from the random bytes of the host."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from levada.expr import values
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame
from levada.expr.host import service
from levada.expr.registry import function

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KSUID_EPOCH_S: Final = 1_400_000_000
_NANO_ALPHABET: Final = _BASE62 + "-_"
MAX_NANO_CHARS: Final = 1000
PORTS: Final = (1024, 65536)


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def _uuid(random: bytes) -> UUID:
    return UUID(bytes=random, version=4)


@function("uuid", ambient=True)
def uuid(frame: Frame) -> str:
    """A random UUID."""
    return str(_uuid(service(frame.host, "uuid").random_bytes(16)))


@function("id", ambient=True)
def short_id(frame: Frame) -> str:
    """A random identifier of 22 letters and digits."""
    return _base62(_uuid(service(frame.host, "id").random_bytes(16)).int, 22)


@function("ksuid", ambient=True)
def ksuid(frame: Frame) -> str:
    """An identifier of 27 letters and digits that sorts by time."""
    host = service(frame.host, "ksuid")
    seconds = int(host.now().timestamp()) - _KSUID_EPOCH_S
    return _base62((seconds & 0xFFFFFFFF) << 128 | int.from_bytes(host.random_bytes(16)), 27)


@function("nanoId", ambient=True)
def nano_id(frame: Frame, length: Any = 21, alphabet: Any = None) -> str:
    """Random characters of an alphabet; letters, digits, dash and underscore where none is given."""
    count = values.whole_number(length, "`length`")
    letters = _NANO_ALPHABET if alphabet is None else values.plain_text(alphabet, "`alphabet`")
    if not 1 <= count <= MAX_NANO_CHARS:
        raise ExpressionError(f"`length` must be from 1 to {MAX_NANO_CHARS}")
    if not 2 <= len(letters) <= 256:
        raise ExpressionError("`alphabet` must have from 2 to 256 characters")
    # Sixteen bits a character keep the bias below one in 256, whatever the alphabet.
    random = service(frame.host, "nanoId").random_bytes(2 * count)
    return "".join(letters[int.from_bytes(random[at : at + 2]) % len(letters)] for at in range(0, 2 * count, 2))


def _below(frame: Frame, name: str, lower: int, upper: int) -> int:
    size = (upper - lower).bit_length() // 8 + 8
    return lower + int.from_bytes(service(frame.host, name).random_bytes(size)) % (upper - lower)


@function("randomInt", ambient=True)
def random_int(frame: Frame, lower: Any, upper: Any) -> int:
    """A random whole number from `lower` up to, not including, `upper`."""
    low, high = values.whole_number(lower, "`lower`"), values.whole_number(upper, "`upper`")
    if high < low:
        raise ExpressionError("`upper` is less than `lower`")
    return low if low == high else _below(frame, "randomInt", low, high)


@function("randomPort", ambient=True)
def random_port(frame: Frame) -> int:
    """A random port number above the well-known ones; whether it is free nobody knows."""
    return _below(frame, "randomPort", *PORTS)
