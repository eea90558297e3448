"""What a template reads, told without running it."""

from __future__ import annotations

from typing import Any

import pytest

from levada import expr
from levada.expr.references import NONE


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ("plain", set()),
        ("{{ outputs.a.values.b ?? 'x' }}", {("outputs", "a", "values", "b")}),
        ("{{ outputs['a-b'].c[0].d }}", {("outputs", "a-b", "c", "0", "d")}),
        ("{{ outputs.a[taskrun.value].c }}", {("outputs", "a"), ("taskrun", "value")}),
        ("{{ a.b | default(c.d) }}", {("a", "b"), ("c", "d")}),
        ("{{ x ? y : z }}{{ not q }}{{ \"#{r}\" }}", {("x",), ("y",), ("z",), ("q",), ("r",)}),
        ("{{ [a, {b: c}] }}", {("a",), ("b",), ("c",)}),
        ("{% set m = inputs.a %}{{ m.b }}", {("inputs", "a")}),
        ("{{ m }}{% set m = 1 %}", {("m",)}),
        ("{% if c %}{% set m = 1 %}{% endif %}{{ m }}", {("c",), ("m",)}),
        ("{% for i in inputs.l %}{{ i.x }}{{ loop.index }}{% else %}{{ i }}{% endfor %}", {("inputs", "l"), ("i",)}),
        ("{% macro f(a, b=vars.d) %}{{ a }}{{ vars.e }}{% endmacro %}{{ f(vars.g) }}", {("vars", "d"), ("vars", "e"), ("vars", "g")}),
        ("{% filter replace({'a': inputs.x}) %}{{ y }}{% endfilter %}", {("inputs", "x"), ("y",)}),
        ("{% raw %}{{ a }}{% endraw %}", set()),
        ("{{ currentEachOutput(outputs.t) }}", {("outputs", "t"), ("parents",), ("taskrun",)}),
        ("{{ tasksWithState('failed') }}", {("tasks",)}),
        ({"{{ k }}": ["{{ v }}", 5, {"x": "{{ w.x }}"}]}, {("k",), ("v",), ("w", "x")}),
    ],
)  # fmt: skip
def test_paths_are_found(value: Any, paths: set[tuple[str, ...]]) -> None:
    found = expr.references(value)
    assert found.paths == paths
    assert not found.whole


def test_functions_and_filters_are_named() -> None:
    found = expr.references("{{ kv(secret('a')) | upper }}{% macro m() %}{% endmacro %}{{ m() }}")
    assert found.functions == {"kv", "secret"}
    assert found.filters == {"upper"}


@pytest.mark.parametrize("call", ["render(x)", "renderOnce('y')", "printContext()", "fetchContext()"])
def test_what_can_read_anything_makes_the_set_unknowable(call: str) -> None:
    assert expr.references("{{ " + call + " }}").whole


def test_no_template_reads_nothing() -> None:
    assert expr.references([1, None, "x", {}]) == NONE


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("{{ kv('a') }}", True),
        ("{{ x ? secret('a') : 1 }}", True),
        ("{{ now() }}{{ uuid() }}", False),
        ("{{ a.b | upper }}", False),
        ("{{ a | jq('.x') }}", True),
        ("{{ render(a) }}", True),
        ("{{ tasksWithState('failed') }}", False),
        ({"a": ["{{ read('x') }}"]}, True),
    ],
)
def test_io_is_recognised(source: Any, needed: bool) -> None:
    assert expr.needs_io(source) is needed


def test_a_broken_template_is_an_error() -> None:
    with pytest.raises(expr.ExpressionError):
        expr.references("{{ a")
