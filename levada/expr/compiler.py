"""From the tree of an expression to a Python closure.

Each node becomes a function of one argument, the frame. All that is known beforehand (is the name assigned in this template,
how many arguments, does the filter want the frame) is decided here, once; what remains is little more than the work itself.
Errors get their position from the closure of the node they happened in. Statements are in `statements`.

`soft` compiles an expression for places where a missing value is an answer: it returns UNDEFINED instead of raising.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from levada.expr import budgets, errors, nodes, operations, registry
from levada.expr.access import UNDEFINED, member, undefined
from levada.expr.errors import ExpressionError, UndefinedVariable
from levada.expr.frame import Frame
from levada.expr.nodes import Expr
from levada.expr.registry import Entry
from levada.expr.taint import derive
from levada.expr.values import concat, text, truth

Evaluate = Callable[[Frame], Any]
MacroCall = Callable[[Frame, list[Any], dict[str, Any]], Any]

# What Python raises when a filter meets a value that nobody thought of.
UNFIT: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Compiler:
    """Compiles the expressions of one template."""

    def __init__(self, source: str, assigned: frozenset[str]) -> None:
        self.source = source
        # Names that some tag of this template assigns; all other names can be read straight from the variables.
        self.assigned = assigned
        self.macros: dict[str, MacroCall] = {}
        self.blocks: dict[str, Evaluate] = {}

    def expression(self, node: Expr) -> Evaluate:
        """Return the closure of an expression. Raises ExpressionError for unknown names and wrong arguments."""
        match node:
            case nodes.Literal():
                value = node.value
                return lambda frame: value
            case nodes.Path():
                return self.path(node)
            case nodes.Member():
                return self.member(node)
            case nodes.Filtered():
                return self.filtered(node)
            case nodes.Call():
                return self.call(node)
            case nodes.Binary():
                return self.binary(node)
            case nodes.Unary():
                return self.unary(node)
            case nodes.Conditional():
                return self.conditional(node)
            case nodes.Tested():
                return self.tested(node)
            case nodes.Join():
                return self.join(node)
            case nodes.ListOf():
                return self.list_of(node)
            case nodes.MapOf():
                return self.map_of(node)
            case nodes.Captured():
                return lambda frame: frame.captured[-1]
        raise TypeError(f"no such node: {node!r}")

    def soft(self, node: Expr) -> Evaluate:
        """Return a closure that gives UNDEFINED where `expression` would raise UndefinedVariable."""
        if isinstance(node, nodes.Path):
            return self.soft_path(node)
        strict = self.expression(node)

        def read(frame: Frame) -> Any:
            try:
                return strict(frame)
            except UndefinedVariable:
                return UNDEFINED

        return read

    def or_null(self, node: Expr) -> Evaluate:
        """Return a closure that gives null where a value does not exist."""
        soft = self.soft(node)
        return lambda frame: None if (found := soft(frame)) is UNDEFINED else found

    def located(self, error: ExpressionError, offset: int) -> ExpressionError:
        """Add the position of a node to an error that has none yet."""
        error.locate(self.source, offset)
        return error

    # --- variables

    def root(self, name: str) -> Evaluate:
        """Return a closure that reads a variable, or UNDEFINED."""
        if name not in self.assigned:

            def read(frame: Frame) -> Any:
                try:
                    return frame.variables[name]
                except KeyError:
                    return UNDEFINED

            return read

        def search(frame: Frame) -> Any:
            for scope in reversed(frame.scopes):
                if name in scope:
                    return scope[name]
            try:
                return frame.variables[name]
            except KeyError:
                return UNDEFINED

        return search

    def soft_path(self, node: nodes.Path) -> Evaluate:
        first, *rest = node.names
        root = self.root(str(first))
        if not rest:
            return root

        def read(frame: Frame) -> Any:
            value = root(frame)
            for name in rest:
                if type(value) is dict and name in value:
                    value = value[name]
                else:
                    value = member(value, name)
                    if value is UNDEFINED:
                        return UNDEFINED
            return value

        return read

    def path(self, node: nodes.Path) -> Evaluate:
        soft = self.soft_path(node)

        def read(frame: Frame) -> Any:
            value = soft(frame)
            if value is UNDEFINED:
                raise self.located(self.missing(node, frame), node.offset)
            return value

        return read

    def missing(self, node: nodes.Path, frame: Frame) -> UndefinedVariable:
        """Walk a path again to find out where it breaks off."""
        value = self.root(str(node.names[0]))(frame)
        if value is UNDEFINED:
            known = [*(name for scope in frame.scopes for name in scope), *frame.variables]
            return UndefinedVariable(str(node.names[0]), known)
        for depth, name in enumerate(node.names[1:], start=2):
            following = member(value, name)
            if following is UNDEFINED:
                return undefined(node.names[:depth], value)
            value = following
        return UndefinedVariable(str(node.names[-1]))

    def member(self, node: nodes.Member) -> Evaluate:
        target, key = self.expression(node.target), self.expression(node.key)

        def read(frame: Frame) -> Any:
            owner, name = target(frame), key(frame)
            value = member(owner, name)
            if value is UNDEFINED:
                path = node.target.names if isinstance(node.target, nodes.Path) else ()
                shown = name if isinstance(name, str | int) else text(name, frame)
                raise self.located(undefined((*path, shown), owner), node.offset)
            return value

        return read

    # --- calls

    def arguments(self, node: nodes.Arguments) -> tuple[list[Evaluate], dict[str, Evaluate]]:
        """Compile arguments in the order they are evaluated."""
        positional = [self.expression(expr) for expr in node.positional]
        return positional, {name: self.expression(expr) for name, expr in node.named}

    def entry(self, table: Mapping[str, Entry], kind: str, name: str, arguments: nodes.Arguments, offset: int) -> Entry:
        """Look up a registered name and check the arguments of the call against it."""
        entry = table.get(name)
        if entry is None:
            raise self.located(errors.unknown(kind, name, table), offset)
        try:
            entry.check(len(arguments.positional), tuple(argument for argument, _ in arguments.named))
        except ExpressionError as error:
            raise self.located(error, offset) from None
        return entry

    def filtered(self, node: nodes.Filtered) -> Evaluate:
        entry = self.entry(registry.FILTERS, "filter", node.name, node.arguments, node.offset)
        value = self.or_null(node.value) if node.name == "default" else self.expression(node.value)
        return self.invoke(entry, [value], node.arguments, node.offset)

    def call(self, node: nodes.Call) -> Evaluate:
        if node.name in self.macros:
            return self.macro_call(node)
        if node.name == "block":
            return self.block_call(node)
        entry = self.entry(registry.FUNCTIONS, "Function or Macro", node.name, node.arguments, node.offset)
        return self.invoke(entry, [], node.arguments, node.offset)

    def tested(self, node: nodes.Tested) -> Evaluate:
        if node.name == "defined" and not node.arguments.all():
            soft, negated = self.soft(node.value), node.negated
            return lambda frame: ((found := soft(frame)) is not UNDEFINED and found is not None) is not negated
        entry = self.entry(registry.TESTS, "test", node.name, node.arguments, node.offset)
        holds = self.invoke(entry, [self.expression(node.value)], node.arguments, node.offset)
        return (lambda frame: not holds(frame)) if node.negated else holds

    def invoke(self, entry: Entry, first: list[Evaluate], arguments: nodes.Arguments, offset: int) -> Evaluate:
        """Return a closure that calls a registered function, watches its result and marks secrets."""
        positional, named = self.arguments(arguments)
        call, wants_frame, keeps, charged = entry.call, entry.wants_frame, entry.taint == "keep", not entry.cheap
        if len(first) == 1 and not positional and not named and not wants_frame:
            return self.invoke_simple(entry, first[0], offset)
        sources = first + positional

        def run(frame: Frame) -> Any:
            args = [evaluate(frame) for evaluate in sources]
            kwargs = {name: evaluate(frame) for name, evaluate in named.items()}
            try:
                for arg in args if charged else ():
                    frame.charge_for(arg)
                result = call(frame, *args, **kwargs) if wants_frame else call(*args, **kwargs)
                if isinstance(result, str):
                    budgets.check_text(len(result))
            except ExpressionError as error:
                raise self.located(error, offset)  # noqa: B904
            except UNFIT as problem:
                raise self.unfit(entry, problem, offset) from problem
            return result if keeps else derive(result, (*args, *kwargs.values()))

        return run

    def invoke_simple(self, entry: Entry, value: Evaluate, offset: int) -> Evaluate:
        """The most frequent call, a filter or test without arguments."""
        call, keeps, charged = entry.call, entry.taint == "keep", not entry.cheap

        def run(frame: Frame) -> Any:
            given = value(frame)
            try:
                if charged:
                    frame.charge_for(given)
                result = call(given)
            except ExpressionError as error:
                raise self.located(error, offset)  # noqa: B904
            except UNFIT as problem:
                raise self.unfit(entry, problem, offset) from problem
            if type(result) is not str or keeps or type(given) is str:
                return result
            return derive(result, (given,))

        return run

    def unfit(self, entry: Entry, problem: Exception, offset: int) -> ExpressionError:
        """Turn what Python raised inside a registered function into an error for the user."""
        detail = str(problem)[:200] or type(problem).__name__
        return self.located(ExpressionError(f"`{entry.name}` cannot work on this value: {detail}"), offset)

    def macro_call(self, node: nodes.Call) -> Evaluate:
        positional, named = self.arguments(node.arguments)
        macros, name = self.macros, node.name

        def run(frame: Frame) -> Any:
            args = [evaluate(frame) for evaluate in positional]
            kwargs = {name: evaluate(frame) for name, evaluate in named.items()}
            try:
                return macros[name](frame, args, kwargs)
            except ExpressionError as error:
                raise self.located(error, node.offset)  # noqa: B904

        return run

    def block_call(self, node: nodes.Call) -> Evaluate:
        if len(node.arguments.positional) != 1 or node.arguments.named:
            raise self.located(ExpressionError("`block` takes one argument, the name of the block"), node.offset)
        name, blocks = self.expression(node.arguments.positional[0]), self.blocks

        def run(frame: Frame) -> Any:
            wanted = name(frame)
            if wanted not in blocks:
                raise self.located(errors.unknown("block", text(wanted, frame), blocks), node.offset)
            return blocks[wanted](frame)

        return run

    # --- operators and literals

    def binary(self, node: nodes.Binary) -> Evaluate:
        name, offset = node.operator, node.offset
        if name in ("??", "???"):
            return self.coalesce(node)
        left, right = self.expression(node.left), self.expression(node.right)
        if name == "and":
            return self.guard(lambda frame: truth(left(frame), "`and`") and truth(right(frame), "`and`"), offset)
        if name == "or":
            return self.guard(lambda frame: truth(left(frame), "`or`") or truth(right(frame), "`or`"), offset)
        operation = operations.BINARY[name]

        def run(frame: Frame) -> Any:
            try:
                return operation(left(frame), right(frame), frame)
            except ExpressionError as error:
                raise self.located(error, offset)  # noqa: B904
            except UNFIT as problem:
                raise self.located(
                    ExpressionError(f"`{name}` cannot work on these values: {problem}"), offset
                ) from problem

        return run

    def coalesce(self, node: nodes.Binary) -> Evaluate:
        left, right = self.soft(node.left), self.expression(node.right)
        if node.operator == "???":
            return lambda frame: right(frame) if (found := left(frame)) is UNDEFINED else found

        def run(frame: Frame) -> Any:
            found = left(frame)
            return right(frame) if found is UNDEFINED or found is None else found

        return run

    def unary(self, node: nodes.Unary) -> Evaluate:
        operand = self.expression(node.operand)
        match node.operator:
            case "not":
                return self.guard(lambda frame: not truth(operand(frame), "`not`"), node.offset)
            case "raise":

                def fail(frame: Frame) -> Any:
                    raise self.located(ExpressionError(text(operand(frame), frame)), node.offset)

                return fail
        operation = operations.UNARY[node.operator]
        return self.guard(lambda frame: operation(operand(frame)), node.offset)

    def guard(self, evaluate: Evaluate, offset: int) -> Evaluate:
        """Return `evaluate` with a position on its errors."""

        def run(frame: Frame) -> Any:
            try:
                return evaluate(frame)
            except ExpressionError as error:
                raise self.located(error, offset)  # noqa: B904
            except UNFIT as problem:
                raise self.located(ExpressionError(f"cannot work on this value: {problem}"), offset) from problem

        return run

    def conditional(self, node: nodes.Conditional) -> Evaluate:
        condition, yes, no = self.expression(node.condition), self.expression(node.yes), self.expression(node.no)

        def run(frame: Frame) -> Any:
            decided = condition(frame)
            if decided is True:
                return yes(frame)
            if decided is False or decided is None:
                return no(frame)
            try:
                decided = truth(decided, "`?:`")
            except ExpressionError as error:
                raise self.located(error, node.offset)  # noqa: B904
            return yes(frame) if decided else no(frame)

        return run

    def join(self, node: nodes.Join) -> Evaluate:
        parts = [self.expression(part) for part in node.parts]

        def evaluate(frame: Frame) -> Any:
            whole = ""
            for part in parts:
                whole = concat(whole, text(part(frame), frame), frame)
            return whole

        return self.guard(evaluate, node.offset)

    def list_of(self, node: nodes.ListOf) -> Evaluate:
        items = [self.expression(item) for item in node.items]
        return lambda frame: [item(frame) for item in items]

    def map_of(self, node: nodes.MapOf) -> Evaluate:
        entries = [(self.expression(key), self.expression(value)) for key, value in node.entries]

        def evaluate(frame: Frame) -> Any:
            made = {}
            for key, value in entries:
                name = key(frame)
                made[name if isinstance(name, str) else text(name, frame)] = value(frame)
            return made

        return self.guard(evaluate, node.offset)
