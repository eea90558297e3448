"""Templates: compiled once, rendered many times.

`compile` is the front door: it returns a cached, immutable `Template` that threads may share. `render` turns a template
into text; `evaluate` keeps the type of the value when the template is nothing but one `{{ … }}`. The functions of the same
names walk through lists and maps, which is how properties of tasks are rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from levada.expr import budgets, nodes, statements
from levada.expr.compiler import Evaluate
from levada.expr.errors import BudgetExceeded, ExpressionError
from levada.expr.frame import Frame
from levada.expr.host import Host
from levada.expr.taint import Secret, derive
from levada.expr.template_parser import parse
from levada.expr.values import text

CACHE_SIZE: Final = 4096
# Longer templates are compiled each time, so that the cache cannot hold gigabytes.
CACHED_CHARS: Final = 16_384


class Template:
    """A compiled template. `is_static` when it has no markup at all."""

    __slots__ = ("_prefix", "_scoped", "_suffix", "_value", "_write", "is_static", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            self._compile(_parsed(source))
        except RecursionError as problem:
            raise BudgetExceeded("the expression is nested too deeply", expression=source[:160]) from problem

    def _compile(self, body: nodes.Body) -> None:
        source = self.source
        self.is_static = not source or body == nodes.Body((nodes.Text(source),), cost=body.cost)
        self._value: Evaluate | None = None
        self._write: statements.Write | None = None
        self._scoped = False
        self._prefix = self._suffix = ""
        if self.is_static:
            return
        single = _single(body)
        if single is None:
            self._write, self._scoped = statements.compile_body(source, body)
        else:
            self._prefix, value, self._suffix = single
            self._value = statements.compile_print(source, value)

    def render(self, variables: Mapping[str, Any], host: Host | None = None) -> str:
        """Return the rendered text, a Secret if a secret went in. Raises ExpressionError; may block in the host."""
        if self.is_static:
            return self.source
        return self.render_in(Frame(variables, host))

    def evaluate(self, variables: Mapping[str, Any], host: Host | None = None) -> Any:
        """Return the value of a template that is exactly one `{{ … }}`, white space around it allowed; else the text."""
        if self.is_static:
            return self.source
        return self.evaluate_in(Frame(variables, host))

    def render_in(self, frame: Frame) -> str:
        """Render within an evaluation that is under way, at the expense of its budgets."""
        try:
            if self._value is None:
                return self._run(frame)
            value = self._value(frame)
            shown = value if type(value) is str else text(value, frame)
            if len(shown) > budgets.MAX_OUTPUT_CHARS:
                budgets.check_text(len(shown))
        except ExpressionError as error:
            error.locate(self.source, 0)
            raise
        except RecursionError as problem:
            raise BudgetExceeded("the expression is nested too deeply", expression=self.source[:160]) from problem
        if self._prefix or self._suffix:
            return statements.joined([part for part in (self._prefix, shown, self._suffix) if part])
        return shown

    def evaluate_in(self, frame: Frame) -> Any:
        """Evaluate within an evaluation that is under way."""
        if self._value is None:
            return self.render_in(frame)
        try:
            return self._value(frame)
        except ExpressionError as error:
            error.locate(self.source, 0)
            raise
        except RecursionError as problem:
            raise BudgetExceeded("the expression is nested too deeply", expression=self.source[:160]) from problem

    def _run(self, frame: Frame) -> str:
        if self._write is None:
            return self.source
        if self._scoped:
            frame.scopes.append({})
        out: list[str] = []
        self._write(frame, out)
        return statements.joined(out)


def compile(text: str) -> Template:
    """Return the template of a text, cached. Raises ExpressionError where it cannot be read."""
    # A secret must not become the key that an equal, harmless text would share.
    plain = text if type(text) is str else str.__str__(text)
    return _cached(plain) if len(plain) <= CACHED_CHARS else Template(plain)


def render(value: Any, variables: Mapping[str, Any], host: Host | None = None) -> Any:
    """Render every text inside `value`, map keys too; what is no text stays. Raises ExpressionError; may block."""
    if isinstance(value, str):
        if "{" not in value:
            return value
        rendered = compile(value).render(variables, host)
        return derive(rendered, (value,)) if type(value) is Secret else rendered
    if isinstance(value, Mapping):
        made: dict[Any, Any] = {}
        for key, item in value.items():
            # Of two keys that render alike the first one wins, as in Kestra.
            made.setdefault(render(key, variables, host), render(item, variables, host))
        return made
    if isinstance(value, list | tuple):
        return [render(item, variables, host) for item in value]
    return value


def evaluate(value: Any, variables: Mapping[str, Any], host: Host | None = None) -> Any:
    """Like `render`, but a text that is exactly one expression becomes its value with its type. Keys become text."""
    if isinstance(value, str):
        if "{" not in value:
            return value
        found = compile(value).evaluate(variables, host)
        return derive(found, (value,)) if type(value) is Secret else found
    if isinstance(value, Mapping):
        made: dict[Any, Any] = {}
        for key, item in value.items():
            made.setdefault(render(key, variables, host), evaluate(item, variables, host))
        return made
    if isinstance(value, list | tuple):
        return [evaluate(item, variables, host) for item in value]
    return value


def truthy(value: Any) -> bool:
    """Judge a rendered condition as Kestra does: null, '', 'false', '0' and '-0' (white space aside) are false."""
    if value is None or value is False:
        return False
    if isinstance(value, str):
        return value.strip() not in _FALSE
    if isinstance(value, int | float):
        return value != 0
    return True


_FALSE: Final = frozenset({"", "false", "0", "-0"})


def _parsed(source: str) -> nodes.Body:
    return parse(source) if "{" in source else nodes.Body((nodes.Text(source),))


def _single(body: nodes.Body) -> tuple[str, nodes.Expr, str] | None:
    """Return white space, expression, white space when the template is nothing else."""
    before, printed, after = "", None, ""
    for node in body.nodes:
        if isinstance(node, nodes.Print) and printed is None:
            printed = node.value
        elif isinstance(node, nodes.Text) and not node.value.strip():
            before, after = (before + node.value, after) if printed is None else (before, after + node.value)
        else:
            return None
    return None if printed is None else (before, printed, after)


_cached = lru_cache(CACHE_SIZE)(Template)
