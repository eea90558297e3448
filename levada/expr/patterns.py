"""Regular expressions of users, through RE2 and nothing else.

RE2 runs in time linear to the text, so no pattern can hang a server; look-around and back-references are refused. The
replacement syntax is Java's: `$1` and `${name}` are groups, a backslash quotes the next character.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import re2

from levada.expr import budgets
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame

MAX_PATTERN_CHARS: Final = 4096
_REFERENCE: Final = re.compile(r"\\(.)|\$(\d)|\$\{(\w+)\}|(\$)", re.DOTALL)


@lru_cache(512)
def _compiled(pattern: str) -> Any:
    if len(pattern) > MAX_PATTERN_CHARS:
        raise ExpressionError(f"the regular expression is longer than {MAX_PATTERN_CHARS} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    # Python and Java spell named groups differently; RE2 knows the Python way.
    try:
        return re2.compile(re.sub(r"\(\?<(?=[A-Za-z])", "(?P<", pattern), options)
    except re2.error as problem:
        detail = problem.args[0].decode() if problem.args and isinstance(problem.args[0], bytes) else str(problem)
        raise ExpressionError(f"the regular expression `{pattern[:80]}` is not valid here: {detail}") from problem


def search(text: str, pattern: str) -> bool:
    """Tell whether `pattern` is found anywhere in `text`."""
    return _compiled(pattern).search(text) is not None


def extract(text: str, pattern: str, group: int) -> str | None:
    """Return a group of the first match, None where nothing matches. Raises ExpressionError for an unknown group."""
    compiled = _compiled(pattern)
    if not 0 <= group <= compiled.groups:
        raise ExpressionError(f"the regular expression has {compiled.groups} groups, not a group {group}")
    found = compiled.search(text)
    return None if found is None else found.group(group)


def split(text: str, pattern: str, limit: int, frame: Frame) -> list[str]:
    """Split as Java does: `limit` parts at most when positive; when 0, empty parts at the end are dropped."""
    parts: list[str] = []
    start = 0
    for found in _compiled(pattern).finditer(text):
        frame.charge(2)
        if limit > 0 and len(parts) == limit - 1:
            break
        begin, end = found.span()
        if end == 0 or (begin == end and begin == len(text)):
            continue
        parts.append(text[start:begin])
        start = end
    parts.append(text[start:])
    while limit == 0 and len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def replace(text: str, pattern: str, replacement: str, frame: Frame) -> str:
    """Replace every match; the result is counted while it grows."""
    compiled = _compiled(pattern)
    expand = _template(replacement, compiled)
    out: list[str] = []
    size = at = 0
    for found in compiled.finditer(text):
        frame.charge(2)
        begin, end = found.span()
        piece = text[at:begin] + expand(found)
        size += len(piece)
        budgets.check_text(size)
        out.append(piece)
        at = end
    out.append(text[at:])
    budgets.check_text(size + len(text) - at)
    return "".join(out)


def _template(replacement: str, compiled: Any) -> Callable[[Any], str]:
    parts: list[str | int] = []
    at = 0
    for found in _REFERENCE.finditer(replacement):
        parts.append(replacement[at : found.start()])
        quoted, number, name, lone = found.groups()
        if lone:
            raise ExpressionError("`$` in a replacement stands before a group number; write `\\$` for the character")
        parts.append(quoted if quoted is not None else _group(number or name, compiled))
        at = found.end()
    parts.append(replacement[at:])

    def expand(match: Any) -> str:
        size = sum(len(part) for part in parts if isinstance(part, str))
        budgets.check_text(size + sum(match.end(part) - match.start(part) for part in parts if isinstance(part, int)))
        return "".join(part if isinstance(part, str) else match.group(part) or "" for part in parts)

    return expand


def _group(reference: str, compiled: Any) -> int:
    number = int(reference) if reference.isdecimal() else compiled.groupindex.get(reference)
    if number is None or number > compiled.groups:
        raise ExpressionError(f"the regular expression has no group `{reference}`")
    return int(number)
