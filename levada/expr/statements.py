"""From the tree of a template to closures: text, `{{ }}` and the tags.

A statement is a function of the frame and the list of texts written so far. In straight-line templates the number of
statements is bounded by the source; loops and macros pay steps for each round, and what is written is counted before it is
put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from levada.expr import budgets, nodes
from levada.expr.compiler import Compiler, Evaluate, MacroCall
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame
from levada.expr.nodes import Body, Expr
from levada.expr.taint import Secret
from levada.expr.values import text, truth, type_name

Write = Callable[[Frame, list[str]], None]


def compile_body(source: str, body: Body) -> tuple[Write, bool]:
    """Return the closure that renders a template, and whether it needs a scope for its own variables."""
    assigned = frozenset(_assigned(body))
    statements = _Statements(Compiler(source, assigned))
    statements.declare(body)
    return statements.body(body), bool(assigned)


def compile_print(source: str, value: Expr) -> Evaluate:
    """Return the closure of a template that is one expression and nothing else."""
    return Compiler(source, frozenset()).expression(value)


def joined(parts: list[str]) -> str:
    """Put written texts together; secret when one of them is. The sizes have been counted before."""
    if len(parts) == 1:
        return parts[0]
    whole = "".join(parts)
    return Secret(whole) if any(type(part) is Secret for part in parts) else whole


def written(frame: Frame, out: list[str], value: str) -> None:
    """Write a text, counted against the output budget of the whole evaluation."""
    frame.written += len(value)
    budgets.check_text(frame.written)
    out.append(value)


def _walk(body: Body) -> Iterator[nodes.Node]:
    for node in body.nodes:
        yield node
        match node:
            case nodes.If():
                for _, branch in node.branches:
                    yield from _walk(branch)
                yield from _walk(node.otherwise)
            case nodes.For():
                yield from _walk(node.body)
                yield from _walk(node.otherwise)
            case nodes.FilterBlock() | nodes.Macro() | nodes.Block():
                yield from _walk(node.body)


def _assigned(body: Body) -> Iterator[str]:
    for node in _walk(body):
        match node:
            case nodes.Set():
                yield node.name
            case nodes.For():
                yield node.name
                yield "loop"
            case nodes.Macro():
                yield from (name for name, _ in node.parameters)


class _Statements:
    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler

    def declare(self, body: Body) -> None:
        """Make macros and blocks callable from everywhere in the template, also before they are written.

        All names are known before the first of them is compiled; calls look them up when they are made.
        """
        macros, blocks = self.compiler.macros, self.compiler.blocks
        declared = [node for node in _walk(body) if isinstance(node, nodes.Macro | nodes.Block)]
        for node in declared:
            table: dict[str, Any] = macros if isinstance(node, nodes.Macro) else blocks
            if node.name in table:
                kind = "macro" if isinstance(node, nodes.Macro) else "block"
                raise self.compiler.located(ExpressionError(f"the {kind} `{node.name}` is defined twice"), node.offset)
            table[node.name] = None
        for node in declared:
            if isinstance(node, nodes.Macro):
                macros[node.name] = self.macro(node)
            else:
                blocks[node.name] = self.captured(node.body)

    def body(self, body: Body) -> Write:
        statements = [write for node in body.nodes if (write := self.statement(node)) is not None]
        if len(statements) == 1:
            return statements[0]

        def write_all(frame: Frame, out: list[str]) -> None:
            for write in statements:
                write(frame, out)

        return write_all

    def statement(self, node: nodes.Node) -> Write | None:
        match node:
            case nodes.Text():
                value = node.value
                return lambda frame, out: written(frame, out, value)
            case nodes.Raw():
                return self.raw(node)
            case nodes.Print():
                return self.print(node)
            case nodes.Set():
                name, evaluate = node.name, self.compiler.expression(node.value)
                return lambda frame, out: frame.assign(name, evaluate(frame))
            case nodes.If():
                return self.condition(node)
            case nodes.For():
                return self.loop(node)
            case nodes.FilterBlock():
                return self.filter_block(node)
            case nodes.Block():
                blocks, block = self.compiler.blocks, node.name
                return lambda frame, out: out.append(blocks[block](frame))
            case nodes.Macro():
                return None

    def raw(self, node: nodes.Raw) -> Write:
        value = node.value

        def write(frame: Frame, out: list[str]) -> None:
            written(frame, out, f"{{% raw %}}{value}{{% endraw %}}" if frame.keeps_raw else value)

        return write

    def print(self, node: nodes.Print) -> Write:
        evaluate, offset, compiler = self.compiler.expression(node.value), node.value.offset, self.compiler

        def write(frame: Frame, out: list[str]) -> None:
            value = evaluate(frame)
            try:
                written(frame, out, value if type(value) is str else text(value, frame))
            except ExpressionError as error:
                raise compiler.located(error, offset)  # noqa: B904

        return write

    def condition(self, node: nodes.If) -> Write:
        branches = [(self.truth(condition), self.body(body)) for condition, body in node.branches]
        otherwise = self.body(node.otherwise)

        def write(frame: Frame, out: list[str]) -> None:
            for holds, branch in branches:
                if holds(frame):
                    branch(frame, out)
                    return
            otherwise(frame, out)

        return write

    def truth(self, condition: Expr) -> Evaluate:
        evaluate = self.compiler.expression(condition)
        return self.compiler.guard(lambda frame: truth(evaluate(frame), "`if`"), condition.offset)

    def loop(self, node: nodes.For) -> Write:
        items, name = self.compiler.expression(node.items), node.name
        body, cost, otherwise = self.body(node.body), node.body.cost, self.body(node.otherwise)

        def rounds(frame: Frame, out: list[str], sequence: list[Any]) -> None:
            scope: dict[str, Any] = {}
            frame.scopes.append(scope)
            try:
                for index, item in enumerate(sequence):
                    frame.charge(cost)
                    scope["loop"] = _loop_state(index, len(sequence))
                    scope[name] = item
                    body(frame, out)
            finally:
                frame.scopes.pop()

        def write(frame: Frame, out: list[str]) -> None:
            found = items(frame)
            if found is None:
                return
            try:
                sequence = _sequence(found)
                if sequence:
                    rounds(frame, out, sequence)
                else:
                    otherwise(frame, out)
            except ExpressionError as error:
                raise self.compiler.located(error, node.offset)  # noqa: B904

        return write

    def captured(self, body: Body) -> Evaluate:
        """Return a closure that renders a body into a text of its own."""
        write, cost = self.body(body), body.cost

        def evaluate(frame: Frame) -> str:
            frame.charge(cost)
            with frame.deeper():
                out: list[str] = []
                write(frame, out)
                return joined(out)

        return evaluate

    def filter_block(self, node: nodes.FilterBlock) -> Write:
        capture, evaluate = self.captured(node.body), self.compiler.expression(node.value)

        def write(frame: Frame, out: list[str]) -> None:
            frame.captured.append(capture(frame))
            try:
                written(frame, out, text(evaluate(frame), frame))
            finally:
                frame.captured.pop()

        return write

    def macro(self, node: nodes.Macro) -> MacroCall:
        names = [name for name, _ in node.parameters]
        defaults = {name: self.compiler.expression(expr) for name, expr in node.parameters if expr is not None}
        render = self.captured(node.body)

        def call(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
            given = dict(zip(names, args, strict=False)) | kwargs
            if len(args) > len(names) or not given.keys() <= set(names):
                raise ExpressionError(f"the macro is `{node.name}({', '.join(names)})`; the arguments do not fit")
            saved = frame.scopes
            # A macro sees the variables of the template, not the loop it is called from.
            frame.scopes = [*saved[:1], given]
            try:
                for name in names:
                    if name not in given:
                        given[name] = defaults[name](frame) if name in defaults else None
                return render(frame)
            finally:
                frame.scopes = saved

        return call


def _sequence(found: Any) -> list[Any]:
    if isinstance(found, Mapping):
        return [{"key": key, "value": found[key]} for key in found]
    if isinstance(found, list | tuple | set | frozenset):
        return list(found)
    raise ExpressionError(f"`for` goes through a list or a map, not through a {type_name(found)}")


def _loop_state(index: int, length: int) -> dict[str, Any]:
    return {
        "index": index,
        "length": length,
        "first": index == 0,
        "last": index == length - 1,
        "revindex": length - 1 - index,
    }
