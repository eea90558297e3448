"""From template text to tokens, each with its offset in the text.

Outside of markup everything is text. Inside `{{ … }}` and `{% … %}` names, numbers, texts and operators are told apart;
`{# … #}` leaves no token, and what stands between `{% raw %}` and `{% endraw %}` is text as it is. A dash next to a
delimiter eats the white space outside of it; after an opening delimiter it needs a blank behind it, since `{{-1}}` is a
number. Brackets are counted so that the `}}` of two nested map literals does not end the markup.

The lexer keeps its own stack and never recurses: nesting is judged by the parser, not by Python's.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, NamedTuple

from levada.expr import errors
from levada.expr.errors import ExpressionError


class Kind(Enum):
    """What a token is."""

    TEXT = auto()
    RAW = auto()
    PRINT_OPEN = auto()
    PRINT_CLOSE = auto()
    TAG_OPEN = auto()
    TAG_CLOSE = auto()
    NAME = auto()
    INT = auto()
    FLOAT = auto()
    STRING = auto()
    # A double-quoted text with `#{…}` inside: JOIN_OPEN (STRING | PART_OPEN … PART_CLOSE)* JOIN_CLOSE.
    JOIN_OPEN = auto()
    JOIN_CLOSE = auto()
    PART_OPEN = auto()
    PART_CLOSE = auto()
    SYMBOL = auto()
    END = auto()


class Token(NamedTuple):
    """One token; `value` is the name, symbol, number or text without quotes."""

    kind: Kind
    value: str
    offset: int


_OPENING = re.compile(r"\{\{|\{%|\{#")
_TRIM_AFTER_OPENING = re.compile(r"-\s+")
_RAW = re.compile(r"-*\s*(raw|verbatim)\s*(-*)%\}")
_RAW_END: Final = {
    "raw": re.compile(r"\{%(-*)\s*endraw\s*(-*)%\}"),
    "verbatim": re.compile(r"\{%(-*)\s*endverbatim\s*(-*)%\}"),
}
_CLOSING: Final = {"{{": re.compile(r"\s*(-?)\}\}"), "{%": re.compile(r"\s*(-?)%\}")}
_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"(\d+)(\.\d+)?(L(?!\w))?")
_SINGLE = re.compile(r"'([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL)
_DOUBLE = re.compile(r'"([^#"\\]*(?:(?:\\.|#(?!\{))[^#"\\]*)*)"', re.DOTALL)
_DOUBLE_PART = re.compile(r'[^#"\\]*(?:(?:\\.|#(?!\{))[^#"\\]*)*', re.DOTALL)
_SYMBOL = re.compile(r"\?\?\?|\?\?|\.\.|==|!=|<=|>=|[-+*/%~<>|.,:?=()\[\]{}]")
_PAIRS: Final = {")": "(", "]": "[", "}": "{"}
_JOIN: Final = '"'


def tokenize(source: str) -> list[Token]:
    """Return the tokens of a template, closed by one END. Raises ExpressionError with the position."""
    return _Lexer(source).run()


class _Lexer:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.tokens: list[Token] = []
        self.trim_next = False
        # Open brackets, texts with parts ('"') and their parts ('#'), innermost last.
        self.brackets: list[Token] = []

    def run(self) -> list[Token]:
        while self.at < len(self.source):
            self._text()
        self.tokens.append(Token(Kind.END, "", len(self.source)))
        return self.tokens

    def _text(self) -> None:
        start = self.at
        found = _OPENING.search(self.source, start)
        self.at = found.end() if found else len(self.source)
        text = self.source[start : found.start() if found else len(self.source)]
        if self.trim_next:
            text = text.lstrip()
            self.trim_next = False
        if found is None:
            self._emit_text(text, start)
            return
        opening = found.group()
        if opening == "{%" and (raw := _RAW.match(self.source, self.at)):
            # The dash of a raw tag is accepted and does nothing, as in Kestra, which cuts raw blocks out beforehand.
            self._emit_text(text, start)
            self._raw(raw)
            return
        if trim := _TRIM_AFTER_OPENING.match(self.source, self.at):
            text = text.rstrip()
            self.at = trim.end()
        self._emit_text(text, start)
        if opening == "{#":
            self._comment(found.start())
        else:
            self._markup(opening, found.start())

    def _emit_text(self, text: str, offset: int) -> None:
        if text:
            self.tokens.append(Token(Kind.TEXT, text, offset))

    def _raw(self, opening: re.Match[str]) -> None:
        name = opening.group(1)
        end = _RAW_END[name].search(self.source, opening.end())
        if end is None:
            raise self._error(f"`{{% {name} %}}` is never closed by `{{% end{name} %}}`", opening.start())
        self.tokens.append(Token(Kind.RAW, self.source[opening.end() : end.start()], opening.end()))
        self.at = end.end()

    def _comment(self, start: int) -> None:
        end = self.source.find("#}", self.at)
        if end < 0:
            raise self._error("the comment is never closed by `#}`", start)
        self.trim_next = self.source[end - 1] == "-"
        self.at = end + 2

    def _markup(self, opening: str, start: int) -> None:
        is_print = opening == "{{"
        self.tokens.append(Token(Kind.PRINT_OPEN if is_print else Kind.TAG_OPEN, opening, start))
        closing = _CLOSING[opening]
        while True:
            if not self.brackets and (close := closing.match(self.source, self.at)):
                self.tokens.append(Token(Kind.PRINT_CLOSE if is_print else Kind.TAG_CLOSE, "", self.at))
                self.trim_next = bool(close.group(1))
                self.at = close.end()
                return
            if self.brackets and self.brackets[-1].value == _JOIN:
                self._join_part()
            else:
                self._expression(opening, start)

    def _expression(self, opening: str, start: int) -> None:
        source = self.source
        space = _SPACE.match(source, self.at)
        self.at = at = space.end() if space else self.at
        if at >= len(source):
            if self.brackets:
                raise self._error(f"`{self.brackets[-1].value}` is never closed", self.brackets[-1].offset)
            raise self._error(f"`{opening}` is never closed by `{'}}' if opening == '{{' else '%}'}`", start)
        if name := _NAME.match(source, at):
            self._emit(Kind.NAME, name.group(), name.end())
        elif number := _NUMBER.match(source, at):
            kind = Kind.FLOAT if number.group(2) else Kind.INT
            self._emit(kind, number.group(1) + (number.group(2) or ""), number.end())
        elif text := _SINGLE.match(source, at):
            self._emit(Kind.STRING, _unescape(text.group(1), "'"), text.end())
        elif text := _DOUBLE.match(source, at):
            self._emit(Kind.STRING, _unescape(text.group(1), '"'), text.end())
        elif source[at] == '"':
            self.brackets.append(Token(Kind.JOIN_OPEN, _JOIN, at))
            self._emit(Kind.JOIN_OPEN, _JOIN, at + 1)
        elif source[at] == "'":
            raise self._error("the text is never closed by `'`", at)
        elif symbol := _SYMBOL.match(source, at):
            self._symbol(symbol.group())
        else:
            raise self._error(f"unexpected character `{source[at]}`", at)

    def _symbol(self, symbol: str) -> None:
        at = self.at
        if symbol in "([{":
            self.brackets.append(Token(Kind.SYMBOL, symbol, at))
        elif symbol in _PAIRS:
            opened = self.brackets.pop() if self.brackets else None
            if opened is not None and opened.kind is Kind.PART_OPEN and symbol == "}":
                self._emit(Kind.PART_CLOSE, symbol, at + 1)
                return
            if opened is None or opened.value != _PAIRS[symbol]:
                raise self._error(f"unexpected `{symbol}`", at)
        self._emit(Kind.SYMBOL, symbol, at + len(symbol))

    def _join_part(self) -> None:
        """Read one piece of a double-quoted text with `#{…}` parts."""
        source, at = self.source, self.at
        if source.startswith("#{", at):
            self.brackets.append(Token(Kind.PART_OPEN, "#{", at))
            self._emit(Kind.PART_OPEN, "#{", at + 2)
            return
        piece = _DOUBLE_PART.match(source, at)
        if piece and piece.group():
            self._emit(Kind.STRING, _unescape(piece.group(), '"'), piece.end())
        elif source.startswith('"', at):
            self.brackets.pop()
            self._emit(Kind.JOIN_CLOSE, _JOIN, at + 1)
        else:
            raise self._error('the text is never closed by `"`', self.brackets[-1].offset)

    def _emit(self, kind: Kind, value: str, end: int) -> None:
        self.tokens.append(Token(kind, value, self.at))
        self.at = end

    def _error(self, message: str, offset: int) -> ExpressionError:
        line, column = errors.position(self.source, offset)
        return ExpressionError(message, line=line, column=column, expression=errors.snippet(self.source, offset))


def _unescape(text: str, quote: str) -> str:
    """Only the quote and the backslash itself are escapes, so that `'\\d+'` stays a regular expression."""
    if "\\" not in text:
        return text
    return text.replace("\\" + quote, quote).replace("\\\\", "\\")
