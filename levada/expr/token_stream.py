"""Walking over tokens: what both halves of the parser stand on, with errors that know their place.

Depth is counted here, so that neither the compiler nor the evaluation can run out of Python's stack: brackets and blocks
nest to MAX_DEPTH, and no tree grows taller than MAX_HEIGHT.
"""

from __future__ import annotations

from typing import NoReturn

from levada.expr import budgets
from levada.expr.errors import BudgetExceeded, ExpressionError
from levada.expr.lexer import Kind, Token, tokenize
from levada.expr.nodes import Expr


class TokenStream:
    """The tokens of a template and a position among them."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = tokenize(source)
        self.index = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def peek(self) -> Token:
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    def next(self) -> Token:
        token = self.tokens[self.index]
        if token.kind is not Kind.END:
            self.index += 1
        return token

    def at(self, value: str, kind: Kind = Kind.SYMBOL) -> bool:
        token = self.tokens[self.index]
        return token.kind is kind and token.value == value

    def accept(self, value: str) -> bool:
        if self.at(value):
            self.index += 1
            return True
        return False

    def expect(self, value: str) -> Token:
        if not self.at(value):
            self.fail(f"expected `{value}`, found {shown(self.token)}")
        return self.next()

    def close(self, kind: Kind) -> None:
        if self.token.kind is not kind:
            self.fail(f"unexpected {shown(self.token)}")
        self.next()

    def name(self, what: str) -> Token:
        if self.token.kind is not Kind.NAME:
            self.fail(f"expected {what}, found {shown(self.token)}")
        return self.next()

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        error = ExpressionError(message)
        error.locate(self.source, (token or self.token).offset)
        raise error

    def enter(self) -> None:
        self.depth += 1
        if self.depth > budgets.MAX_DEPTH:
            error = BudgetExceeded(f"the expression is nested deeper than {budgets.MAX_DEPTH} levels")
            error.locate(self.source, self.token.offset)
            raise error

    def checked(self, expr: Expr) -> Expr:
        if expr.height > budgets.MAX_HEIGHT:
            error = BudgetExceeded(
                f"the expression chains more than {budgets.MAX_HEIGHT} operations; use {{% set %}} for parts"
            )
            error.locate(self.source, expr.offset)
            raise error
        return expr


def shown(token: Token) -> str:
    """Name a token in an error message."""
    match token.kind:
        case Kind.END:
            return "the end of the template"
        case Kind.PRINT_CLOSE:
            return "`}}`"
        case Kind.TAG_CLOSE:
            return "`%}`"
        case Kind.STRING:
            return f"the text '{token.value[:40]}'"
    return f"`{token.value[:40]}`"
