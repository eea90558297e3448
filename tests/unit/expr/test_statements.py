"""The tags: set, if, for, filter, macro, block."""

from __future__ import annotations

from typing import Any

import pytest

from levada import expr
from levada.expr import ExpressionError

VARIABLES: dict[str, Any] = {"items": ["a", "b", "c"], "map": {"k1": 1, "k2": 2}, "none": None, "x": "outer"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% set y = x ~ '!' %}{{ y }}", "outer!"),
        ("{% set m = {'a': [1, {'b': 2}]} %}{{ m.a[1].b }}", "2"),
        ("{% set x = 'inner' %}{{ x }}", "inner"),
        ("{% if 1 > 2 %}a{% elseif x == 'outer' %}b{% else %}c{% endif %}", "b"),
        ("{% if 0 %}a{% else %}c{% endif %}", "c"),
        ("{% if 'false' %}a{% endif %}", "a"),
        ("{% for i in items %}{{ loop.index }}{{ i }}{% if not loop.last %},{% endif %}{% endfor %}", "0a,1b,2c"),
        ("{% for i in items %}{{ loop.revindex }}{{ loop.length }}{{ loop.first }} {% endfor %}", "23true 13false 03false "),
        ("{% for e in map %}{{ e.key }}={{ e.value }};{% endfor %}", "k1=1;k2=2;"),
        ("{% for i in [] %}x{% else %}nothing{% endfor %}", "nothing"),
        ("{% for i in none %}x{% else %}nothing{% endfor %}", ""),
        ("{% for i in items %}{% for j in [1, 2] %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{% endfor %}",
         "a10 a21 b10 b21 c10 c21 "),
        ("{% set sum = 0 %}{% for i in [1, 2, 3] %}{% set sum = sum + i %}{% endfor %}{{ sum }}", "6"),
        ("{% for i in items %}{% set last = i %}{% endfor %}{{ last ?? 'gone' }}", "gone"),
        ("{% for x in items %}{{ x }}{% endfor %}{{ x }}", "abcouter"),
        ("{% filter upper | trim %} a {{ x }} {% endfilter %}!", "A OUTER!"),
        ("{% macro hi(name, greeting='Hi') %}{{ greeting }} {{ name }}{% endmacro %}{{ hi('Ann') }}, {{ hi('Bo', greeting='Yo') }}",
         "Hi Ann, Yo Bo"),
        ("{{ later(2) }}{% macro later(n) %}<{{ n }}>{% endmacro %}", "<2>"),
        ("{% macro down(n) %}{{ n }}{% if n > 0 %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(3) }}", "3210"),
        ("{% block 'b' %}<{{ x }}>{% endblock %}{{ block('b') }}", "<outer><outer>"),
        ("{% block b %}B{% endblock b %}", "B"),
        ("a{%- if true -%} b {%- endif -%} c", "abc"),
    ],
)  # fmt: skip
def test_a_tag_does_its_work(source: str, text: str) -> None:
    assert expr.render(source, VARIABLES) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for i in 5 %}{% endfor %}", "`for` goes through a list or a map, not through a number"),
        ("{% if none %}{% endif %}", "null is neither true nor false"),
        ("{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "the macro is `m"),
        ("{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "the macro is `m"),
        ("{{ block('none') }}{% block 'some' %}{% endblock %}", "block .none. does not exist"),
        ("{% macro m() %}{% endmacro %}{% macro m() %}{% endmacro %}", "defined twice"),
        ("{{ missing ?? raise('no ' ~ x) }}", "no outer"),
    ],
)
def test_a_tag_fails_with_a_reason(source: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        expr.render(source, VARIABLES)


def test_a_failed_macro_leaves_the_scopes_as_they_were() -> None:
    source = "{% macro bad() %}{% for i in items %}{{ nope }}{% endfor %}{% endmacro %}{{ bad() ?? 'saved' }} {{ i ?? 'clean' }}"
    assert expr.render(source, VARIABLES) == "saved clean"


def test_variables_are_not_changed_by_set() -> None:
    given = {"x": "outer"}
    expr.render("{% set x = 1 %}{% set y = 2 %}", given)
    assert given == {"x": "outer"}
