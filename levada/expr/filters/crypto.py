"""Hashes and base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from levada.expr import budgets, values
from levada.expr.errors import ExpressionError
from levada.expr.registry import filter_


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    return values.plain_text(value, "the value").encode(errors="surrogatepass")


def _hash(name: str, value: Any) -> str | None:
    return None if value is None else hashlib.new(name, _bytes(value), usedforsecurity=False).hexdigest()


@filter_("md5")
def md5(value: Any) -> str | None:
    """The MD5 hash in hexadecimal."""
    return _hash("md5", value)


@filter_("sha1")
def sha1(value: Any) -> str | None:
    """The SHA-1 hash in hexadecimal."""
    return _hash("sha1", value)


@filter_("sha256")
def sha256(value: Any) -> str | None:
    """The SHA-256 hash in hexadecimal."""
    return _hash("sha256", value)


@filter_("sha512")
def sha512(value: Any) -> str | None:
    """The SHA-512 hash in hexadecimal."""
    return _hash("sha512", value)


@filter_("base64encode")
def base64encode(value: Any) -> str | None:
    """The bytes of the text in base64."""
    if value is None:
        return None
    data = _bytes(value)
    budgets.check_text(len(data) * 4 // 3 + 4)
    return base64.b64encode(data).decode()


@filter_("base64decode")
def base64decode(value: Any) -> str | None:
    """The text that base64 holds."""
    if value is None:
        return None
    try:
        return base64.b64decode(_bytes(value), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as problem:
        raise ExpressionError("the value is not the base64 of a text") from problem
