"""From tokens to the syntax tree of a template.

Expressions are read by precedence climbing over the table in `operators`; tags are read by one method each, found in
`_TAGS`. Depth is counted here, so that neither the compiler nor the evaluation can run out of Python's stack: brackets and
blocks nest to MAX_DEPTH, and no tree grows taller than MAX_HEIGHT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from levada.expr import budgets, errors, nodes, operators
from levada.expr.errors import BudgetExceeded, ExpressionError
from levada.expr.lexer import Kind, Token, tokenize
from levada.expr.nodes import Arguments, Body, Expr

_CONSTANTS: Final[dict[str, Any]] = {
    "true": True, "TRUE": True, "false": False, "FALSE": False,
    "null": None, "NULL": None, "none": None, "NONE": None,
}  # fmt: skip
_OPERANDS: Final = frozenset({Kind.NAME, Kind.INT, Kind.FLOAT, Kind.STRING, Kind.JOIN_OPEN})
_REFUSED_TAGS: Final = frozenset(
    {"autoescape", "cache", "embed", "extends", "flush", "from", "import", "include", "parallel"}
)


def parse(source: str) -> Body:
    """Return the tree of a template. Raises ExpressionError with the position."""
    if len(source) > budgets.MAX_SOURCE_CHARS:
        raise BudgetExceeded(
            f"the template has {len(source):,} characters; at most {budgets.MAX_SOURCE_CHARS:,} are read"
        )
    return _Parser(source).body(())


def _height(*children: Expr) -> int:
    return 1 + max((child.height for child in children), default=0)


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = tokenize(source)
        self.index = 0
        self.depth = 0

    # --- tokens

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
            self.fail(f"expected `{value}`, found {_shown(self.token)}")
        return self.next()

    def name(self, what: str) -> Token:
        if self.token.kind is not Kind.NAME:
            self.fail(f"expected {what}, found {_shown(self.token)}")
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

    # --- text and tags

    def body(self, until: tuple[str, ...]) -> Body:
        """Read nodes up to one of the tags `until` (left for the caller) or to the end of the template."""
        found: list[nodes.Node] = []
        first = self.index
        while True:
            token = self.token
            if token.kind is Kind.TEXT:
                self.next()
                found.append(nodes.Text(token.value))
            elif token.kind is Kind.RAW:
                self.next()
                found.append(nodes.Raw(token.value))
            elif token.kind is Kind.PRINT_OPEN:
                self.next()
                found.append(nodes.Print(self.expression()))
                self.close(Kind.PRINT_CLOSE)
            elif token.kind is Kind.TAG_OPEN:
                name = self.peek()
                if name.kind is Kind.NAME and name.value in until:
                    break
                found.append(self.tag())
            elif until:
                self.fail(f"`{{% {' %}` or `{% '.join(until)} %}}` is missing at the end of the template")
            else:
                break
        return Body(tuple(found), cost=1 + (self.index - first) // 4)

    def close(self, kind: Kind) -> None:
        if self.token.kind is not kind:
            self.fail(f"unexpected {_shown(self.token)}")
        self.next()

    def tag(self) -> nodes.Node:
        self.next()
        token = self.name("the name of a tag")
        read = _TAGS.get(token.value)
        if read is None:
            if token.value in _REFUSED_TAGS:
                self.fail(f"the tag `{token.value}` is not part of this language", token)
            error = errors.unknown("tag", token.value, _TAGS)
            error.locate(self.source, token.offset)
            raise error
        self.enter()
        node = read(self)
        self.depth -= 1
        return node

    def end(self, *names: str) -> str:
        """Read the tag that closes a body; return its name, with the rest of it unread unless it is the last name."""
        self.next()
        name = self.next().value
        if name == names[-1]:
            if name == "endblock" and self.token.kind is Kind.NAME:
                self.next()
            self.close(Kind.TAG_CLOSE)
        return name

    def new_name(self) -> str:
        token = self.name("a variable name")
        if token.value in _CONSTANTS:
            self.fail(f"cannot assign a value to `{token.value}`", token)
        return token.value

    def tag_set(self) -> nodes.Node:
        name = self.new_name()
        self.expect("=")
        value = self.expression()
        self.close(Kind.TAG_CLOSE)
        return nodes.Set(name, value)

    def tag_if(self) -> nodes.Node:
        branches: list[tuple[Expr, Body]] = []
        closing = ("elseif", "elif", "else", "endif")
        while True:
            condition = self.expression()
            self.close(Kind.TAG_CLOSE)
            branches.append((condition, self.body(closing)))
            name = self.end(*closing)
            if name in ("else", "endif"):
                break
        otherwise = Body()
        if name == "else":
            self.close(Kind.TAG_CLOSE)
            otherwise = self.body(("endif",))
            self.end("endif")
        return nodes.If(tuple(branches), otherwise)

    def tag_for(self) -> nodes.Node:
        offset = self.token.offset
        name = self.new_name()
        if not self.at("in", Kind.NAME):
            self.fail(f"expected `in`, found {_shown(self.token)}")
        self.next()
        items = self.expression()
        self.close(Kind.TAG_CLOSE)
        body, otherwise = self.body(("else", "endfor")), Body()
        if self.end("else", "endfor") == "else":
            self.close(Kind.TAG_CLOSE)
            otherwise = self.body(("endfor",))
            self.end("endfor")
        return nodes.For(offset, name, items, body, otherwise)

    def tag_filter(self) -> nodes.Node:
        value: Expr = nodes.Captured(self.token.offset)
        while True:
            value = self.filtered(value)
            if not self.accept("|"):
                break
        self.close(Kind.TAG_CLOSE)
        body = self.body(("endfilter",))
        self.end("endfilter")
        return nodes.FilterBlock(value, body)

    def tag_macro(self) -> nodes.Node:
        name = self.name("the name of the macro")
        self.expect("(")
        parameters: list[tuple[str, Expr | None]] = []
        while not self.accept(")"):
            if parameters:
                self.expect(",")
            parameter = self.new_name()
            parameters.append((parameter, self.expression() if self.accept("=") else None))
        self.close(Kind.TAG_CLOSE)
        body = self.body(("endmacro",))
        self.end("endmacro")
        return nodes.Macro(name.offset, name.value, tuple(parameters), body)

    def tag_block(self) -> nodes.Node:
        token = self.next()
        if token.kind not in (Kind.NAME, Kind.STRING):
            self.fail(f"expected the name of the block, found {_shown(token)}", token)
        self.close(Kind.TAG_CLOSE)
        body = self.body(("endblock",))
        self.end("endblock")
        return nodes.Block(token.offset, token.value, body)

    # --- expressions

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
        return self.fail(f"expected a value, found {_shown(token)}", token)

    def whole(self, token: Token) -> int:
        if len(token.value) > budgets.MAX_INT_BITS // 4:
            self.fail("the number has too many digits", token)
        return int(token.value)

    def named(self, token: Token) -> Expr:
        if token.value in _CONSTANTS and not self.at("("):
            return nodes.Literal(token.offset, _CONSTANTS[token.value])
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


def _shown(token: Token) -> str:
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


_TAGS: Final[dict[str, Callable[[_Parser], nodes.Node]]] = {
    "set": _Parser.tag_set,
    "if": _Parser.tag_if,
    "for": _Parser.tag_for,
    "filter": _Parser.tag_filter,
    "macro": _Parser.tag_macro,
    "block": _Parser.tag_block,
}
TAGS: Final = (*_TAGS, "raw", "verbatim")
