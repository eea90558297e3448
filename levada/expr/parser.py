"""From tokens to the tree of an expression, by precedence climbing over the table in `operators`.

Tags and text are read by `template_parser`, which builds on this class.
"""

from __future__ import annotations

from typing import Any, Final

from levada.expr import budgets, nodes, operators
from levada.expr.lexer import Kind, Token
from levada.expr.nodes import Arguments, Expr
from levada.expr.token_stream import TokenStream, shown

CONSTANTS: Final[dict[str, Any]] = {
    "true": True, "TRUE": True, "false": False, "FALSE": False,
    "null": None, "NULL": None, "none": None, "NONE": None,
}  # fmt: skip
_OPERANDS: Final = frozenset({Kind.NAME, Kind.INT, Kind.FLOAT, Kind.STRING, Kind.JOIN_OPEN})


def _height(*children: Expr) -> int:
    return 1 + max((child.height for child in children), default=0)


class ExpressionParser(TokenStream):
    """Reads expressions."""

    def expression(self, least: int = 0) -> Expr:
        """Read an expression whose binary operators bind at least as tightly as `least`."""
        self.enter()
        left = self.operand()
        while (operator := self.binary()) and operators.BINARY[operator].precedence >= least:
            left = self.checked(self.right_side(left, operator))
        if least == 0 and self.accept("?"):
            yes = self.expression()
            self.expect(":")
            no = self.expression()
            left = self.checked(nodes.Conditional(left.offset, left, yes, no, height=_height(left, yes, no)))
        self.depth -= 1
        return left

    def binary(self) -> str | None:
        """Return the binary operator that comes next, still unread."""
        token = self.token
        if token.kind is Kind.SYMBOL:
            return token.value if token.value in operators.BINARY else None
        if token.kind is not Kind.NAME:
            return None
        following = self.peek()
        if following.kind is Kind.NAME and f"{token.value} {following.value}" in operators.BINARY:
            return f"{token.value} {following.value}"
        return token.value if token.value in operators.BINARY else None

    def right_side(self, left: Expr, operator: str) -> Expr:
        self.index += 2 if " " in operator else 1
        if operator == "|":
            return self.filtered(left)
        if operator in ("is", "is not"):
            test = self.name("the name of a test")
            arguments = self.arguments() if self.at("(") else Arguments()
            height = _height(left, *arguments.all())
            return nodes.Tested(test.offset, left, test.value, arguments, operator == "is not", height=height)
        right = self.expression(operators.BINARY[operator].precedence + 1)
        return nodes.Binary(left.offset, operator, left, right, height=_height(left, right))

    def filtered(self, value: Expr) -> Expr:
        name = self.name("the name of a filter")
        arguments = self.arguments() if self.at("(") else Arguments()
        return nodes.Filtered(name.offset, value, name.value, arguments, height=_height(value, *arguments.all()))

    def operand(self) -> Expr:
        token = self.token
        if token.value in operators.UNARY and token.kind in (Kind.SYMBOL, Kind.NAME):
            self.next()
            if token.value == "raise" and self.token.kind not in _OPERANDS and not self.at("("):
                return nodes.Unary(
                    token.offset, "raise", nodes.Literal(token.offset, "raised by the expression"), height=2
                )
            operand = self.expression(operators.UNARY[token.value].precedence)
            return self.checked(nodes.Unary(token.offset, token.value, operand, height=_height(operand)))
        return self.postfix(self.primary())

    def primary(self) -> Expr:
        token = self.next()
        match token.kind:
            case Kind.NAME:
                return self.named(token)
            case Kind.INT:
                return nodes.Literal(token.offset, self.whole(token))
            case Kind.FLOAT:
                return nodes.Literal(token.offset, float(token.value))
            case Kind.STRING:
                return nodes.Literal(token.offset, token.value)
            case Kind.JOIN_OPEN:
                return self.join(token)
        if token.value == "(" and token.kind is Kind.SYMBOL:
            inner = self.expression()
            self.expect(")")
            return inner
        if token.value == "[" and token.kind is Kind.SYMBOL:
            return self.list_literal(token)
        if token.value == "{" and token.kind is Kind.SYMBOL:
            return self.map_literal(token)
        return self.fail(f"expected a value, found {shown(token)}", token)

    def whole(self, token: Token) -> int:
        if len(token.value) > budgets.MAX_INT_BITS // 4:
            self.fail("the number has too many digits", token)
        return int(token.value)

    def named(self, token: Token) -> Expr:
        if token.value in CONSTANTS and not self.at("("):
            return nodes.Literal(token.offset, CONSTANTS[token.value])
        if token.value in operators.BINARY:
            self.fail(f"expected a value, found the operator `{token.value}`", token)
        if self.at("("):
            arguments = self.arguments()
            return nodes.Call(token.offset, token.value, arguments, height=_height(*arguments.all()))
        return nodes.Path(token.offset, (token.value,))

    def join(self, opening: Token) -> Expr:
        parts: list[Expr] = []
        while self.token.kind is not Kind.JOIN_CLOSE:
            token = self.next()
            if token.kind is Kind.STRING:
                parts.append(nodes.Literal(token.offset, token.value))
                continue
            parts.append(self.expression())
            self.close(Kind.PART_CLOSE)
        self.next()
        return nodes.Join(opening.offset, tuple(parts), height=_height(*parts))

    def list_literal(self, opening: Token) -> Expr:
        items: list[Expr] = []
        while not self.accept("]"):
            if items:
                self.expect(",")
                if self.accept("]"):
                    break
            items.append(self.expression())
        return nodes.ListOf(opening.offset, tuple(items), height=_height(*items))

    def map_literal(self, opening: Token) -> Expr:
        entries: list[tuple[Expr, Expr]] = []
        while not self.accept("}"):
            if entries:
                self.expect(",")
                if self.accept("}"):
                    break
            key = self.expression()
            self.expect(":")
            entries.append((key, self.expression()))
        height = _height(*(expr for entry in entries for expr in entry))
        return nodes.MapOf(opening.offset, tuple(entries), height=height)

    def postfix(self, target: Expr) -> Expr:
        """Read the members after a value; constant names fold into one Path."""
        while True:
            if self.accept("."):
                token = self.name("the name of a member")
                if self.at("("):
                    self.fail(
                        f"`{token.value}(…)` is a method call; the language has only functions and filters", token
                    )
                key: Expr = nodes.Literal(token.offset, token.value)
            elif self.accept("["):
                key = self.expression()
                self.expect("]")
            else:
                return target
            constant = key.value if isinstance(key, nodes.Literal) else None
            if isinstance(target, nodes.Path) and isinstance(constant, str | int) and not isinstance(constant, bool):
                target = nodes.Path(target.offset, (*target.names, constant))
            else:
                target = self.checked(nodes.Member(key.offset, target, key, height=_height(target, key)))

    def arguments(self) -> Arguments:
        self.expect("(")
        positional: list[Expr] = []
        named: dict[str, Expr] = {}
        while not self.accept(")"):
            if positional or named:
                self.expect(",")
            following = self.peek()
            if self.token.kind is Kind.NAME and following.kind is Kind.SYMBOL and following.value == "=":
                token = self.next()
                self.next()
                if token.value in named:
                    self.fail(f"the argument `{token.value}` is given twice", token)
                named[token.value] = self.expression()
            elif named:
                self.fail("arguments by position must stand before arguments by name")
            else:
                positional.append(self.expression())
        return Arguments(tuple(positional), tuple(named.items()))
