"""Values as JSON text.

Before anything is written the value is measured, because a template can build a small structure whose text is
astronomically long (`{% set a = [a, a] %}` thirty times over). The measuring walk is also where the work is paid for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import orjson

from levada.expr import budgets, instants
from levada.expr.errors import BudgetExceeded, ExpressionError
from levada.expr.frame import Frame
from levada.expr.taint import Secret

MAX_VALUES: Final = 500_000
_SCALARS: Final = frozenset({int, float, bool, type(None)})
_OPTIONS: Final = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z


def dump(value: Any, frame: Frame, *, indent: bool = False) -> str:
    """Return compact JSON (or indented by two); a Secret when a secret is inside."""
    secret = measure(value, frame)
    options = _OPTIONS | orjson.OPT_INDENT_2 if indent else _OPTIONS
    try:
        text = orjson.dumps(value, default=_plain, option=options).decode()
    except (orjson.JSONEncodeError, TypeError, RecursionError) as problem:
        # Whole numbers beyond 64 bits and unpaired surrogates are JSON, yet not for orjson.
        try:
            text = json.dumps(
                value, default=_plain, indent=2 if indent else None, separators=None if indent else (",", ":")
            )
        except (TypeError, ValueError, RecursionError):
            raise ExpressionError(f"the value cannot be written as JSON: {problem}") from problem
    budgets.check_text(len(text))
    return Secret(text) if secret else text


def load(text: str | bytes, what: str) -> Any:
    """Parse JSON. Raises ExpressionError naming `what`."""
    try:
        return orjson.loads(str.__str__(text) if isinstance(text, str) else text)
    except orjson.JSONDecodeError as problem:
        raise ExpressionError(f"{what} is not JSON: {problem}") from problem


def measure(root: Any, frame: Frame) -> bool:
    """Refuse a value whose text would be too long or that nests too deeply, and pay for walking over it.

    Returns whether a secret is inside.
    """
    count = chars = depth = 0
    secret = False
    level = [root]
    while level:
        depth += 1
        budgets.check_depth(depth - 1)
        count += len(level)
        following: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str or kind is Secret:
                chars += len(value)
                secret = secret or kind is Secret
            elif kind in _SCALARS:
                continue
            elif kind is dict or isinstance(value, Mapping):
                following.extend(value)
                following.extend(value.values())
            elif isinstance(value, list | tuple | set | frozenset):
                following.extend(value)
            if count + len(following) > MAX_VALUES:
                raise BudgetExceeded(f"the value has more than {MAX_VALUES:,} parts")
        level = following
    budgets.check_text(chars + count)
    frame.charge(count // budgets.VALUES_PER_STEP + chars // budgets.CHARS_PER_STEP)
    return secret


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return dict(value)
        case list() | tuple() | set() | frozenset():
            return list(value)
        case str():
            return str.__str__(value)
        case timedelta():
            return instants.java_text(value)
        case Decimal():
            return orjson.Fragment(f"{value:f}")
        case int():
            return int(value)
        case bytes():
            return value.decode(errors="replace")
    raise TypeError(f"a value of type {type(value).__name__} is not data")
