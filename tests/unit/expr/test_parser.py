"""How text is read: delimiters, white space, precedence, and errors that know their place."""

from __future__ import annotations

from typing import Any

import pytest

from levada import expr
from levada.expr import ExpressionError

VARIABLES: dict[str, Any] = {"a": 1, "b": {"c": [10, {"d e": "deep"}]}, "n": None, "word": "hello", "yes": True}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain { text }", "plain { text }"),
        ("{{a}}{{ a }}{{\na\n}}", "111"),
        ("x {{- a -}} y", "x {{- a -}} y".replace(" {{- a -}} ", "1")),
        ("{{-1}}", "-1"),
        ("{{- 1 }}", "1"),
        ("a {# comment {{ #} b", "a  b"),
        ("a {#- comment -#} b", "ab"),
        ("{% raw %}{{ a }}{% endraw %}{{ a }}", "{{ a }}1"),
        ("{% raw %}\n{{ a }}\n{% endraw %}", "\n{{ a }}\n"),
        ("{% verbatim %}{% if %}{% endverbatim %}", "{% if %}"),
        ("{{ '}}' }}", "}}"),
        ("{{ {'x': {'y': 1}} }}", '{"x":{"y":1}}'),
        ("{{ [1, 2,] }}{{ [] }}{{ {} }}", "[1,2][]{}"),
        ('{{ "it\'s" }}{{ \'say "x"\' }}', 'it\'ssay "x"'),
        (r"{{ 'it\'s' }}", "it's"),
        (r"{{ '\d+\\n' }}", r"\d+\n"),
        ('{{ "a #{a + 1} b #{word | upper}" }}', "a 2 b HELLO"),
        ('{{ "no # interpolation" }}', "no # interpolation"),
        ("{{ b.c[0] }}{{ b['c'][1]['d e'] }}", "10deep"),
        ("{{ (b).c[1 - 1] }}", "10"),
        ("{{ [7, 8][1] }}", "8"),
        ("{{ true }}{{ FALSE }}{{ null }}{{ none }}", "truefalse"),
        ("{{ 3L + 1 }}", "4"),
    ],
)
def test_a_template_is_read(source: str, text: str) -> None:
    assert expr.render(source, VARIABLES) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ 1 + 2 * 3 }}", "7"),
        ("{{ (1 + 2) * 3 }}", "9"),
        ("{{ 10 - 2 - 3 }}", "5"),
        ("{{ 1 + word | length }}", "6"),
        ("{{ 'a' ~ 'b' | upper }}", "AB"),
        ("{{ nope ?? 'x' | upper }}", "X"),
        ("{{ nope ?? n ?? 'last' }}", "last"),
        ("{{ 'a' ~ nope ?? 'b' ~ 'c' }}", "abc"),
        ("{{ not yes == false }}", "true"),
        ("{{ not yes or yes }}", "true"),
        ("{{ yes or yes and false }}", "true"),
        ("{{ a == 1 and word is not empty }}", "true"),
        ("{{ -a + 3 }}", "2"),
        ("{{ 1 < 2 == true }}", "true"),
        ("{{ yes ? false ? 1 : 2 : 3 }}", "2"),
        ("{{ yes ? 1 : false ? 2 : 3 }}", "1"),
        ("{{ word is not null ? 'set' : 'unset' }}", "set"),
        ("{{ 1..2 + 1 }}", "[1,2,1]"),
        ("{{ a equals 1 }}", "true"),
        ("{{ 5 not in [1, 2] }}", "true"),
    ],
)
def test_operators_bind_as_in_pebble(source: str, text: str) -> None:
    assert expr.render(source, VARIABLES) == text


@pytest.mark.parametrize(
    ("source", "message", "line", "column"),
    [
        ("{{ a", "`{{` is never closed by `}}`", 1, 1),
        ("{% if a", "`{%` is never closed by `%}`", 1, 1),
        ("x\n  {{ (a }}", "unexpected `}`", 2, 9),
        ("{{ [a", "`[` is never closed", 1, 4),
        ("{{ 'a }}", "the text is never closed by `'`", 1, 4),
        ('{{ "a #{a} }}', "the text is never closed", 1, 4),
        ("{# a", "the comment is never closed", 1, 1),
        ("{% raw %}a", "is never closed by `{% endraw %}`", 1, 3),
        ("{{ a b }}", "unexpected `b`", 1, 6),
        ("{{ }}", "expected a value, found `}}`", 1, 3),
        ("{{ a + }}", "expected a value, found `}}`", 1, 7),
        ("{{ | upper }}", "expected a value, found `|`", 1, 4),
        ("{{ a | }}", "expected the name of a filter", 1, 7),
        ("{{ {not: 1} }}", "expected a value, found `:`", 1, 8),
        ("{{ a ! b }}", "unexpected character `!`", 1, 6),
        ("{{ word.length() }}", "`length(…)` is a method call", 1, 9),
        ("{% if a %}", "`{% endif %}` is missing", 1, 11),
        ("{% nope %}", "tag [nope] does not exist", 1, 4),
        ("{% include 'x' %}", "the tag `include` is not part of this language", 1, 4),
        ("{% set true = 1 %}", "cannot assign a value to `true`", 1, 8),
        ("{% for x of b %}", "expected `in`", 1, 10),
        ("{{ word | upr }}", "filter [upr] does not exist; did you mean upper", 1, 11),
        ("{{ nope() }}", "Function or Macro [nope] does not exist", 1, 4),
        ("{{ a is evn }}", "test [evn] does not exist; did you mean even", 1, 9),
        ("{{ word | abbreviate }}", "`abbreviate` needs the argument `length`", 1, 11),
        ("{{ word | upper(1) }}", "`upper` takes at most 0 arguments, 1 given", 1, 11),
        ("{{ word | date(frmt='x') }}", "`date` has no argument `frmt`", 1, 11),
        ("{{ word | date('x', format='y') }}", "gets the argument `format` twice", 1, 11),
        ("{{ word | date(format='x', 'y') }}", "arguments by position must stand before", 1, 28),
    ],
)
def test_an_error_says_what_and_where(source: str, message: str, line: int, column: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        expr.compile(source)
    error = caught.value
    assert message in error.message
    assert (error.line, error.column) == (line, column)
    assert error.message in str(error)


def test_an_error_shows_only_the_markup_it_is_in() -> None:
    with pytest.raises(ExpressionError) as caught:
        expr.render("{{ a }} and {{ a +\n 'x' - 1 }} and {{ b }}", VARIABLES)
    assert caught.value.expression == "{{ a + 'x' - 1 }}"
    assert caught.value.line == 1
