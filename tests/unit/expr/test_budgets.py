"""Nothing grows, nests or runs without end; sizes are refused before memory is taken."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from levada import expr
from levada.expr import BudgetExceeded, ExpressionError

BIG = "x" * 900_000
VARIABLES: dict[str, Any] = {"big": BIG, "list": list(range(1000)), "big_list": list(range(90_000))}

HUNGRY = [
    "{% for i in range(1, 9999) %}{% for j in range(1, 9999) %}{{ i }}{% endfor %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% block 'b' %}{{ block('b') }}{% endblock %}",
    "{{ range(1, 1000000000) }}",
    "{{ 1..1000000000 }}",
    "{{ big ~ big }}",
    "{{ big + big }}",
    "{{ big }}{{ big }}",
    "{{ \"#{big}#{big}\" }}",
    "{{ big | replace({'x': 'xxxxxxxxxx'}) }}",
    "{{ big | replace({'x': 'yy'}, regexp=true) }}",
    "{{ big | indent(1000000000, ' ') }}",
    "{{ 'a' | nindent(1000000000) }}",
    "{{ [big, big] | join }}",
    "{{ [big, big] }}",
    "{{ [big, big] | toJson }}",
    "{{ big_list | merge(big_list) }}",
    "{{ big_list + big_list }}",
    "{{ big | split('') }}",
    "{% set a = 'xx' %}{% for i in range(1, 60) %}{% set a = a ~ a %}{% endfor %}",
    "{% set a = 3 %}{% for i in range(1, 60) %}{% set a = a * a %}{% endfor %}",
    "{% set a = [1] %}{% for i in range(1, 50) %}{% set a = a + a %}{% endfor %}",
    "{% set a = [1, 1] %}{% for i in range(1, 50) %}{% set a = [a, a] %}{% endfor %}{{ a }}",
    "{% set a = [1, 1] %}{% for i in range(1, 50) %}{% set a = [a, a] %}{% endfor %}{{ a | yaml }}",
    "{% set a = [1, 1] %}{% set b = [1, 1] %}{% for i in range(1, 50) %}{% set a = [a, a] %}{% set b = [b, b] %}{% endfor %}{{ a == b }}",
    "{% set a = [1] %}{% for i in range(1, 99) %}{% set a = [a] %}{% endfor %}{{ a }}",
    "{% for i in range(1, 90000) %}{% set x = big | upper %}{% endfor %}",
    "{% for i in range(1, 90000) %}{% set x = big | sha512 %}{% endfor %}",
    "{% for i in range(1, 90000) %}{% set x = big_list | reverse %}{% endfor %}",
    "{% for i in range(1, 90000) %}{% set x = list | join(',') %}{% endfor %}",
    "{% for i in range(1, 90000) %}{{ 'some text that is long' }}{{ 'and some more of it here' }}{% endfor %}",
    "{{ " + "(" * 10_000 + "1" + ")" * 10_000 + " }}",
    "{{ " + "[" * 10_000 + "]" * 10_000 + " }}",
    "{{ " + "-" * 10_000 + "1 }}",
    "{{ " + "not " * 1_000 + "true }}",
    "{{ " + " + ".join(["1"] * 5_000) + " }}",
    "{{ 'a'" + " | upper" * 5_000 + " }}",
    "{{ a" + "[b" * 100 + "]" * 100 + " }}",
    "{% if true %}" * 1_000 + "{% endif %}" * 1_000,
    '{{ "' + "#{\"" * 500 + "x" + "\"}" * 500 + '" }}',
    "{{ '" + "1" * 100 + "' }}" + "{{ 1 }}" * 200_000,
]  # fmt: skip


@pytest.mark.parametrize("source", HUNGRY, ids=lambda source: source[:70])
def test_a_hungry_template_is_stopped_early(source: str) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BudgetExceeded) as caught:
        expr.render(source, VARIABLES)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 64 << 10
    assert len(str(caught.value)) < 600


def test_a_number_literal_cannot_be_huge() -> None:
    with pytest.raises(ExpressionError, match="too many digits"):
        expr.compile("{{ " + "9" * 100_000 + " }}")


def test_render_in_a_template_pays_from_the_same_purse() -> None:
    loop = "{% for i in range(1, 60000) %}{% endfor %}"
    assert expr.render(loop, {}) == ""
    with pytest.raises(BudgetExceeded):
        expr.render("{{ render(loop) }}{{ render(loop) }}", {"loop": loop})


def test_a_text_of_a_variable_may_be_large_when_it_keeps_its_type() -> None:
    huge = "y" * (3 << 20)
    assert expr.evaluate("{{ v }}", {"v": huge}) is huge
    with pytest.raises(BudgetExceeded):
        expr.render("{{ v }}", {"v": huge})


def test_regular_expressions_take_linear_time() -> None:
    text = "a" * 5_000 + "!"
    assert expr.evaluate("{{ t | regexMatch('^(a+)+$') }}", {"t": text}) is False


def test_a_loop_of_ordinary_size_is_fine() -> None:
    source = "{% for row in rows %}{{ row.name | upper }}-{{ row.n + 1 }};{% endfor %}"
    rows = [{"name": f"n{n}", "n": n} for n in range(10_000)]
    assert expr.render(source, {"rows": rows}).count(";") == 10_000


def test_chains_below_the_limit_work_even_deep_in_a_program() -> None:
    source = "{{ " + " + ".join(["1"] * 190) + " }}{{ " + "(" * 60 + "2" + ")" * 60 + " }}"

    def dig(depth: int) -> str:
        return dig(depth - 1) if depth else str(expr.Template(source).render({}))

    assert dig(150) == "1902"
