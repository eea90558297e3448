"""Reading SQL as far as needed: statements, named parameters, placeholders, lines.

`scan` walks over a text and yields what is code and what is not: strings (also `E'…'` and `$tag$…$tag$`), quoted names and
comments (nested ones too) are passed over, so that a `;` or `:name` inside of them is left alone. Nothing here knows
the grammar of SQL beyond that, which is why it never misreads a new statement.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from levada.sdk import TaskFailed

_NAME = re.compile(r":([A-Za-z_][A-Za-z0-9_]*)")
_DOLLAR = re.compile(r"\$(?:[A-Za-z_\x80-\uffff][A-Za-z0-9_\x80-\uffff]*)?\$")
_WORD_BEFORE = re.compile(r"[A-Za-z0-9_$\x80-\uffff]")


class Statement(msgspec.Struct, frozen=True):
    """One statement: its text without the semicolon, and where it begins in the whole text."""

    text: str
    start: int


class Bound(msgspec.Struct, frozen=True):
    """A statement with `$1`, `$2` … for its parameters, and the name or position that each stands for."""

    text: str
    names: list[str]
    #: (offset in `text`, offset in the original) wherever the two drift apart.
    drift: list[tuple[int, int]]

    def original_offset(self, offset: int) -> int:
        """Return where the character at `offset` of `text` stands in the original."""
        here, there = 0, 0
        for bound, original in self.drift:
            if bound > offset:
                break
            here, there = bound, original
        return there + offset - here


def scan(sql: str) -> Iterator[tuple[int, str]]:
    """Yield (offset, character) of everything that is code."""
    at, end = 0, len(sql)
    while at < end:
        after = _passed_over(sql, at)
        if after is None:
            yield at, sql[at]
            at += 1
        else:
            at = after


def _passed_over(sql: str, at: int) -> int | None:
    """Return the end of the string, quoted name or comment that begins at `at`; None when none does."""
    char = sql[at]
    if char == "'":
        is_escape = at > 0 and sql[at - 1] in "eE" and not (at > 1 and _WORD_BEFORE.match(sql[at - 2]))
        return _quoted(sql, at, "'", backslash=is_escape)
    if char == '"':
        return _quoted(sql, at, '"', backslash=False)
    if char == "-" and sql.startswith("--", at):
        newline = sql.find("\n", at)
        return len(sql) if newline < 0 else newline
    if char == "/" and sql.startswith("/*", at):
        return _comment(sql, at)
    if char == "$" and not (at > 0 and _WORD_BEFORE.match(sql[at - 1])):
        tag = _DOLLAR.match(sql, at)
        if tag is not None:
            close = sql.find(tag.group(), tag.end())
            return len(sql) if close < 0 else close + len(tag.group())
    return None


def _quoted(sql: str, at: int, quote: str, *, backslash: bool) -> int:
    at += 1
    while at < len(sql):
        if backslash and sql[at] == "\\":
            at += 2
        elif sql[at] == quote:
            if not sql.startswith(quote, at + 1):
                return at + 1
            at += 2  # a doubled quote stands for itself
        else:
            at += 1
    return len(sql)


def _comment(sql: str, at: int) -> int:
    depth = 0
    while at < len(sql):
        if sql.startswith("/*", at):
            depth, at = depth + 1, at + 2
        elif sql.startswith("*/", at):
            depth, at = depth - 1, at + 2
            if depth == 0:
                return at
        else:
            at += 1
    return len(sql)


def statements(sql: str) -> list[Statement]:
    """Cut a text at its semicolons. What holds nothing but white space and comments is no statement.

    A `BEGIN ATOMIC … END` body keeps its semicolons; everything else that contains some is quoted in Postgres.
    """
    found = []
    start, has_code, words, atomic = 0, False, "", 0
    for at, char in scan(sql):
        if char == ";" and not atomic:
            if has_code:
                found.append(_statement(sql, start, at))
            start, has_code, words = at + 1, False, ""
            continue
        has_code = has_code or not char.isspace()
        words = (words + char)[-16:]
        if char in "cCeEdD" and not _continues(sql, at):
            atomic += _nesting(words, atomic)
    if has_code or sql[start:].strip().startswith(("'", '"', "$")):
        found.append(_statement(sql, start, len(sql)))
    return found


def _nesting(words: str, atomic: int) -> int:
    """Return how the word that ends here changes the depth of an SQL-standard function body."""
    if re.search(r"\bbegin\s+atomic$", words, re.IGNORECASE):
        return 1
    if not atomic:
        return 0
    if re.search(r"\bcase$", words, re.IGNORECASE):
        return 1
    return -1 if re.search(r"\bend$", words, re.IGNORECASE) else 0


def _continues(sql: str, at: int) -> bool:
    return at + 1 < len(sql) and _WORD_BEFORE.match(sql[at + 1]) is not None


def _statement(sql: str, start: int, end: int) -> Statement:
    text = sql[start:end]
    lead = len(text) - len(text.lstrip())
    return Statement(text.strip(), start + lead)


def bind_names(sql: str, parameters: Mapping[str, Any] | None) -> Bound:
    """Replace `:name` by `$n`. Without parameters nothing is replaced.

    `::type`, `:=` and slices such as `list[1:n]` are no parameters. Raises TaskFailed for a name without a value.
    """
    if parameters is None:
        return Bound(sql, [], [])
    out = _Rewriting(sql)
    brackets = 0
    for at, char in scan(sql):
        if char in "[]":
            brackets += 1 if char == "[" else -1
        if char != ":" or at < out.taken or sql.startswith("::", at) or (at > 0 and sql[at - 1] == ":"):
            continue
        found = _NAME.match(sql, at)
        if found is None or (brackets > 0 and _ends_a_value(sql, at)):
            continue
        name = found.group(1)
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise TaskFailed(
                f"`:{name}` on line {line_of(sql, at)} of the SQL has no value in `parameters` (given: {known})"
            )
        out.replace(at, found.end(), name)
    return out.bound()


def bind_positions(sql: str) -> Bound:
    """Replace `?` by `$1`, `$2` …; `??` stands for the operator `?`."""
    out = _Rewriting(sql)
    count = 0
    for at, char in scan(sql):
        if char != "?" or at < out.taken:
            continue
        if sql.startswith("??", at):
            out.replace(at, at + 2, None, "?")
        else:
            out.replace(at, at + 1, str(count))
            count += 1
    return out.bound()


def _ends_a_value(sql: str, at: int) -> bool:
    """Tell whether a value stands before the colon: then `[1:n]` is a slice."""
    before = sql[:at].rstrip()[-1:]
    return before in (")", "]", '"') or _WORD_BEFORE.match(before) is not None


class _Rewriting:
    """A text in which pieces are replaced from left to right."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._parts: list[str] = []
        self._length = 0
        self.taken = 0
        self._names: list[str] = []
        self._drift: list[tuple[int, int]] = []

    def replace(self, start: int, end: int, name: str | None, text: str = "") -> None:
        if name is not None:
            self._names.append(name)
            text = f"${len(self._names)}"
        part = self._sql[self.taken : start] + text
        self._parts.append(part)
        self._length += len(part)
        self.taken = end
        self._drift.append((self._length, end))

    def bound(self) -> Bound:
        return Bound("".join(self._parts) + self._sql[self.taken :], self._names, self._drift)


def line_of(sql: str, offset: int) -> int:
    """Return the line of a character, from 1."""
    return sql.count("\n", 0, offset) + 1


def column_of(sql: str, offset: int) -> int:
    """Return the column of a character in its line, from 1."""
    return offset - sql.rfind("\n", 0, offset)
