"""Secrets keep their mark through everything that makes text."""

from __future__ import annotations

from typing import Any

import pytest

from levada import expr
from levada.expr import Secret


@pytest.mark.parametrize(
    "source",
    [
        "{{ secret('DB') }}",
        "Bearer {{ secret('DB') }}",
        "{{ secret('DB') }}{{ secret('DB') }}",
        "{{ 'user:' ~ secret('DB') }}",
        "{{ secret('DB') + 1 }}",
        "{{ secret('DB') | upper | base64encode }}",
        "{{ 'x' | replace({'x': secret('DB')}) }}",
        "{{ [1, secret('DB')] }}",
        "{{ {'a': [secret('DB')]} | toJson }}",
        "{{ {secret('DB'): 1} }}",
        "{{ {'a': secret('DB')} | yaml }}",
        "{{ {'a': secret('DB')} | toIon }}",
        "{{ [secret('DB')] | join(',') }}",
        "{{ [secret('DB'), 'b'] | first }}",
        "{{ {'a': secret('DB')} | jq('.a') | first }}",
        "{{ fromJson(secret('JSON')).user }}",
        "{{ secret('JSON') | split(',') | first }}",
        "{{ \"pw=#{secret('DB')}\" }}",
        "{% set x = secret('DB') %}{{ x }}",
        "{% filter upper %}{{ secret('DB') }}{% endfilter %}",
        "{% macro m(s) %}<{{ s }}>{% endmacro %}{{ m(secret('DB')) }}",
        "{{ render('{{ secret(\"DB\") }}') }}",
        "{{ nope ?? secret('DB') }}",
        "{{ [secret('DB')] | replace({'h': 'H'}) }}",
        "{{ given }}",
        "{{ given | default('x') }}",
    ],
)
def test_what_derives_from_a_secret_is_a_secret(source: str, host: Any) -> None:
    rendered = expr.render(source, {"given": Secret("inside")}, host)
    assert isinstance(rendered, Secret)
    assert list(expr.secrets_in({"a": [rendered]})) == [str(rendered)]


@pytest.mark.parametrize(
    "source",
    [
        "plain {{ 'text' }}",
        "{{ secret('DB') == 'hunter2' ? 'yes' : 'no' }}",
        "{{ secret('DB') | length }}",
        "{{ [secret('DB'), 'b'] | last }}",
        "{{ kv('limit') }}",
        "{{ {'a': secret('DB'), 'b': 'open'}.b }}",
    ],
)
def test_what_only_looked_at_a_secret_is_not_one(source: str, host: Any) -> None:
    assert type(expr.render(source, {}, host)) is str


def test_a_secret_is_a_text_that_does_not_show_itself() -> None:
    secret = Secret("hunter2")
    assert secret == "hunter2"
    assert repr([secret]) == "[Secret('******')]"
    assert type(expr.reveal({"a": [secret]})["a"][0]) is str


def test_secrets_are_found_in_keys_and_values_but_not_when_empty() -> None:
    assert list(expr.secrets_in({Secret("k"): [Secret("v"), Secret(""), "open", None]})) == ["k", "v"]


def test_a_secret_template_gives_a_secret_and_does_not_taint_its_equal() -> None:
    assert isinstance(expr.render(Secret("{{ 1 }}"), {}), Secret)
    assert type(expr.render("{{ 1 }}", {})) is str
    assert isinstance(expr.render(Secret("{ static"), {}), Secret)
    assert type(expr.render("{ static", {})) is str


def test_an_error_does_not_show_a_secret(host: Any) -> None:
    for source in ("{{ secret('DB') * 2 }}", "{{ secret('DB') | chunk(1) }}", "{{ fromJson(secret('DB')) }}"):
        with pytest.raises(expr.ExpressionError) as caught:
            expr.render(source, {}, host)
        assert "hunter2" not in str(caught.value)
