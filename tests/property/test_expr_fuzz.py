"""Whatever stands in a template: it renders or raises an ExpressionError, and stays in its budgets."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levada import expr
from levada.expr import ExpressionError
from levada.expr.budgets import MAX_OUTPUT_CHARS

VARIABLES: dict[str, Any] = {
    "a": 1,
    "b": {"c": [1, "x", None, {"d": 2.5}], "is": True},
    "s": 'text {"k": 1} é\ud800',
    "n": None,
    "d": datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
    "l": [3, 1, 2],
    "big": 10**30,
    "t": True,
}


class Host:
    """Returns whatever it is called with."""

    def now(self) -> datetime:
        return datetime(2024, 1, 1, tzinfo=UTC)

    def random_bytes(self, n: int) -> bytes:
        return bytes(n)

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return {"name": name, "args": args}


# jq is left out: it has its own limits, and random programs only find syntax errors in it.
_FILTERS = sorted(expr.FILTERS.keys() - {"jq"})
_FUNCTIONS = sorted(expr.FUNCTIONS)
_TESTS = sorted(expr.TESTS)
_BINARY = sorted(
    {"or", "and", "contains", "in", "not in", "==", "!=", "<", ">=", "+", "-", "*", "/", "%", "~", "..", "??", "???"}
)

_names = st.sampled_from(
    [*VARIABLES, "missing", "loop", "x", "b.c", "b.c[3].d", "b['is']", "s.k", "l[1]", "l[9]", "n.x"]
)
_words = st.text(alphabet=string.ascii_letters + string.digits + " .-_%#,;:/é\n", max_size=12)
_literals = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(0, 1e6, allow_nan=False).map(lambda value: f"{value:.6f}"),
    st.sampled_from(["true", "false", "null", "[]", "{}", "''"]),
    _words.map(lambda word: "'" + word.replace("'", "") + "'"),
    st.sampled_from(
        ["'yyyy-MM-dd'", "'#,##0.00'", "'(a+)+'", "'$1'", "'MONTHS'", "'Europe/Paris'", "'INT'", "'{{ a }}'"]
    ),
)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arguments = st.lists(inner, max_size=3).map(", ".join)
    return st.one_of(
        st.tuples(inner, st.sampled_from(_BINARY), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(inner, st.sampled_from(_FILTERS), arguments).map(lambda p: f"({p[0]} | {p[1]}({p[2]}))"),
        st.tuples(inner, st.sampled_from(_FILTERS)).map(lambda p: f"({p[0]} | {p[1]})"),
        st.tuples(st.sampled_from(_FUNCTIONS), arguments).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(inner, st.sampled_from(_TESTS)).map(lambda p: f"({p[0]} is {p[1]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} ? {p[1]} : {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]})[{p[1]}]"),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(inner, inner), max_size=2).map(
            lambda items: "{" + ", ".join(f"{k}: {v}" for k, v in items) + "}"
        ),
        inner.map(lambda value: f"not {value}"),
        inner.map(lambda value: f"-{value}"),
        inner.map(lambda value: f'"a#{{{value}}}b"'),
    )


_expressions = st.recursive(st.one_of(_names, _literals), _compound, max_leaves=8)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(_expressions, inner, inner).map(lambda p: f"{{% if {p[0]} %}}{p[1]}{{% else %}}{p[2]}{{% endif %}}"),
        st.tuples(_expressions, inner).map(lambda p: f"{{% for x in {p[0]} %}}{p[1]}{{% endfor %}}"),
        st.tuples(_expressions, inner).map(lambda p: f"{{% set x = {p[0]} %}}{p[1]}"),
        inner.map(lambda body: f"{{% filter upper %}}{body}{{% endfilter %}}"),
        inner.map(lambda body: f"{{% macro m(x) %}}{body}{{% endmacro %}}{{{{ m(1) }}}}"),
    )


_templates = st.recursive(
    st.one_of(
        _words, _expressions.map(lambda e: f"{{{{ {e} }}}}"), st.just("{{- x -}}"), st.just("{% raw %}{{ {% endraw %}")
    ),
    _nested,
    max_leaves=5,
)
_fragments = st.sampled_from(
    ["{{", "}}", "{%", "%}", "{#", "#}", "-", " ", "\n", "'", '"', "#{", "}", "(", ")", "[", "]", "|", "?", "??", "a", ".", "if",
     "for", "in", "endfor", "set", "=", "1", "raw", "endraw", "\\", "not", "is", "\x00", "é", "🙂"]
)  # fmt: skip

_settings = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def _play(source: str) -> None:
    for act in (expr.references, expr.needs_io):
        try:
            act(source)
        except ExpressionError:
            return
    result = _outcome(source)
    if isinstance(result, ExpressionError):
        assert result.message
        assert result.line is not None
    else:
        assert len(result) <= MAX_OUTPUT_CHARS
        expr.compile(source).evaluate(VARIABLES, Host())


def _outcome(source: str, variables: dict[str, Any] = VARIABLES) -> str | ExpressionError:
    try:
        return expr.compile(source).render(variables, Host())
    except ExpressionError as error:
        return error


@_settings
@given(_templates)
def test_a_well_formed_template_renders_or_raises_an_expression_error(source: str) -> None:
    _play(source)


@_settings
@given(st.lists(_fragments, max_size=30).map("".join))
def test_rubbish_renders_or_raises_an_expression_error(source: str) -> None:
    _play(source)


@_settings
@given(st.text(max_size=60))
def test_any_text_renders_or_raises_an_expression_error(source: str) -> None:
    _play("{{ " + source + " }}")
    _play(source)


@_settings
@given(_expressions)
def test_a_reference_is_never_left_out(source: str) -> None:
    """With only the variables that `references` names, the outcome is the same as with all of them."""
    template = "{{ " + source + " }}"
    try:
        reads = expr.references(template)
    except ExpressionError:
        return
    if reads.whole:
        return
    roots = {path[0] for path in reads.paths}
    sliced = {name: value for name, value in VARIABLES.items() if name in roots}
    expected, found = _outcome(template), _outcome(template, sliced)
    if isinstance(expected, ExpressionError):
        assert type(found) is type(expected)
    else:
        assert found == expected


@_settings
@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False),
              st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4)),
    max_leaves=20,
))  # fmt: skip
@pytest.mark.parametrize(("write", "read"), [("toJson", "fromJson"), ("toIon", "fromIon"), ("yaml", "yaml")])
def test_data_survives_being_written_and_read(write: str, read: str, value: Any) -> None:
    if write == "yaml" and value is None:
        return
    written = expr.render("{{ v | " + write + " }}", {"v": value})
    assert expr.evaluate("{{ " + read + "(t) }}", {"t": written}) == value
