"""Number patterns of Java: `#,##0.00`, `0.#%`, `00.###E0`, with a second pattern for negative numbers.

Rounding is half to even, as there. Exact decimals are used throughout, so that 0.125 and 1e22 are written as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from functools import lru_cache
from typing import Any, Final

from levada.expr.errors import ExpressionError

MAX_PATTERN_CHARS: Final = 100
_NUMBER: Final = re.compile(r"([#,]*)([0,]*)(?:\.(0*)(#*))?(?:E(0+))?")
# Thousands separator and decimal mark by language.
_MARKS: Final = {"en": (",", "."), "de": (".", ","), "fr": ("\u202f", ","), "es": (".", ","), "it": (".", ","),
                 "pt": (".", ","), "nl": (".", ",")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern taken apart: digits before the mark, required and optional digits behind it, group size."""

    prefix: str
    suffix: str
    negative: tuple[str, str]
    least_whole: int
    least_broken: int
    most_broken: int
    group: int
    exponent: int
    scale: int


def write(value: Any, pattern: str, locale: Any = None) -> str:
    """Return a number by a pattern. Raises ExpressionError for a pattern that cannot be read."""
    found = _parsed(pattern)
    marks = _MARKS.get(str(locale or "en").replace("-", "_").partition("_")[0], _MARKS["en"])
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        return "NaN" if number.is_nan() else ("-∞" if number < 0 else "∞")
    with localcontext() as context:
        context.prec = 800
        number = number.scaleb(found.scale)
        exponent = 0
        if found.exponent:
            exponent = number.adjusted() - found.least_whole + 1 if number else 0
            number = number.scaleb(-exponent)
        try:
            rounded = number.quantize(Decimal(1).scaleb(-found.most_broken), ROUND_HALF_EVEN)
        except InvalidOperation as problem:
            raise ExpressionError("the number has too many digits for a pattern") from problem
    body = _body(abs(rounded), found, marks)
    if found.exponent:
        body += f"E{'-' if exponent < 0 else ''}{abs(exponent):0{found.exponent}}"
    before, after = found.negative if rounded < 0 else (found.prefix, found.suffix)
    return before + body + after


def _body(number: Decimal, pattern: Pattern, marks: tuple[str, str]) -> str:
    whole, _, broken = f"{number:f}".partition(".")
    whole = whole.lstrip("0").zfill(pattern.least_whole)
    while len(broken) > pattern.least_broken and broken.endswith("0"):
        broken = broken[:-1]
    if not whole and not broken:
        whole = "0"
    if pattern.group:
        first = len(whole) % pattern.group
        parts = ([whole[:first]] if first else []) + [
            whole[at : at + pattern.group] for at in range(first, len(whole), pattern.group)
        ]
        whole = marks[0].join(parts)
    return whole + (marks[1] + broken if broken else "")


@lru_cache(256)
def _parsed(pattern: str) -> Pattern:
    if len(pattern) > MAX_PATTERN_CHARS:
        raise ExpressionError(f"the number pattern is longer than {MAX_PATTERN_CHARS} characters")
    positive, has_negative, negative = pattern.partition(";")
    prefix, body, suffix = _split(positive, pattern)
    found = _NUMBER.fullmatch(body)
    if found is None:
        raise ExpressionError(f"`{pattern}` is not a number pattern; write it like #,##0.00")
    digits, _, _ = body.partition(".")
    digits = digits.partition("E")[0]
    group = len(digits) - digits.rfind(",") - 1 if "," in digits else 0
    minus = (f"-{prefix}", suffix)
    if has_negative:
        before, _, after = _split(negative, pattern)
        minus = (before, after)
    required, optional, exponent = found.group(3) or "", found.group(4) or "", found.group(5) or ""
    scale = 2 if "%" in prefix + suffix else 3 if "‰" in prefix + suffix else 0
    least = digits.replace(",", "").count("0")
    return Pattern(
        prefix, suffix, minus, least_whole=max(least, 1) if exponent else least, least_broken=len(required),
        most_broken=len(required) + len(optional), group=group, exponent=len(exponent), scale=scale,
    )  # fmt: skip


def _split(part: str, pattern: str) -> tuple[str, str, str]:
    """Return what stands before the digits, the digits, and what stands behind them; quotes protect text."""
    before, body, after, at = "", "", "", 0
    while at < len(part):
        char = part[at]
        if char == "'":
            end = part.find("'", at + 1)
            if end < 0:
                raise ExpressionError(f"the number pattern `{pattern}` has a quote that is never closed")
            text = part[at + 1 : end] or "'"
            at = end + 1
        else:
            is_digit = char in "#0,." or (char == "E" and body and part[at + 1 : at + 2] == "0")
            at += 1
            if is_digit and after:
                raise ExpressionError(f"`{pattern}` is not a number pattern: digits after text; quote what is text")
            if is_digit:
                body += char
                continue
            text = char
        before, after = (before + text, after) if not body else (before, after + text)
    return before, body, after
