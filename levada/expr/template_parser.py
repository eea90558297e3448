"""From the text of a template to its tree: text, `{{ }}` and the tags, each read by one method found in `_TAGS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from levada.expr import budgets, errors, nodes
from levada.expr.errors import BudgetExceeded
from levada.expr.lexer import Kind
from levada.expr.nodes import Body, Expr
from levada.expr.parser import CONSTANTS, ExpressionParser
from levada.expr.token_stream import shown

_REFUSED_TAGS: Final = frozenset(
    {"autoescape", "cache", "embed", "extends", "flush", "from", "import", "include", "parallel"}
)


def parse(source: str) -> Body:
    """Return the tree of a template. Raises ExpressionError with the position."""
    if len(source) > budgets.MAX_SOURCE_CHARS:
        raise BudgetExceeded(
            f"the template has {len(source):,} characters; at most {budgets.MAX_SOURCE_CHARS:,} are read"
        )
    return _TemplateParser(source).body(())


class _TemplateParser(ExpressionParser):
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
        if token.value in CONSTANTS:
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
            self.fail(f"expected `in`, found {shown(self.token)}")
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
            self.fail(f"expected the name of the block, found {shown(token)}", token)
        self.close(Kind.TAG_CLOSE)
        body = self.body(("endblock",))
        self.end("endblock")
        return nodes.Block(token.offset, token.value, body)


_TAGS: Final[dict[str, Callable[[_TemplateParser], nodes.Node]]] = {
    "set": _TemplateParser.tag_set,
    "if": _TemplateParser.tag_if,
    "for": _TemplateParser.tag_for,
    "filter": _TemplateParser.tag_filter,
    "macro": _TemplateParser.tag_macro,
    "block": _TemplateParser.tag_block,
}
TAGS: Final = (*_TAGS, "raw", "verbatim")
