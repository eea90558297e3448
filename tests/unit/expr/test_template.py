"""compile, render and evaluate over texts and structures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from levada import expr


class Lazy(Mapping[str, Any]):
    """Makes values when asked for them, and remembers which."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values_ = values
        self.asked: list[str] = []

    def __getitem__(self, key: str) -> Any:
        value = self.values_[key]
        self.asked.append(key)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def test_text_without_markup_is_static() -> None:
    template = expr.compile("just { braces } and % signs")
    assert template.is_static
    assert template.render({}) == "just { braces } and % signs"
    assert not expr.compile("{{ a }}").is_static
    assert not expr.compile("{# only a comment #}").is_static
    assert expr.compile("{# only a comment #}").render({}) == ""
    assert expr.compile("").is_static


def test_compiled_templates_are_shared() -> None:
    assert expr.compile("{{ shared }}") is expr.compile("{{ shared }}")


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ a }}", 1),
        ("  {{ l }}\n", [1, 2]),
        ("{{ a }}{{ a }}", "11"),
        ("x{{ a }}", "x1"),
        ("{{ n }}", None),
        ("{% if true %}{{ a }}{% endif %}", "1"),
        ("plain", "plain"),
        ("{{ l | length > 1 }}", True),
    ],
)
def test_evaluate_keeps_the_type_of_a_lone_expression(source: str, value: Any) -> None:
    assert expr.compile(source).evaluate({"a": 1, "l": [1, 2], "n": None}) == value


def test_render_keeps_white_space_around_a_lone_expression() -> None:
    assert expr.render("  {{ a }}\n", {"a": 1}) == "  1\n"


def test_structures_are_rendered_with_their_keys() -> None:
    given = {"{{ k }}": ["{{ v }}", 5, None, {"deep": "{{ v ~ v }}"}], "plain": True}
    assert expr.render(given, {"k": "key", "v": "x"}) == {"key": ["x", 5, None, {"deep": "xx"}], "plain": True}
    assert expr.evaluate({"{{ k }}": "{{ v }}"}, {"k": "key", "v": [1]}) == {"key": [1]}


def test_of_two_keys_that_render_alike_the_first_wins() -> None:
    assert expr.render({"{{ a }}": 1, "x": 2}, {"a": "x"}) == {"x": 1}


def test_lazy_variables_are_asked_only_for_what_is_read() -> None:
    outputs = Lazy({"one": {"value": 1}, "two": {"value": 2}})
    variables = Lazy({"outputs": outputs, "inputs": {}})
    assert expr.render("{{ outputs.one.value }}{{ outputs.none ?? '-' }}", variables) == "1-"
    assert variables.asked == ["outputs", "outputs"]
    assert outputs.asked == ["one"]


def test_lazy_maps_print_as_json() -> None:
    assert expr.render("{{ outputs }}", {"outputs": Lazy({"one": Lazy({"value": 1})})}) == '{"one":{"value":1}}'


def test_a_missing_variable_names_the_nearest_ones() -> None:
    variables = {"outputs": {"load_data": {"uri": 1}}, "inputs": {}, "text": "x", "items": [1]}
    cases = {
        "{{ output.load }}": "Missing variable: 'output'; did you mean 'outputs'?",
        "{{ outputs.load_dat.uri }}": "Missing variable: 'outputs.load_dat'; did you mean 'load_data'?",
        "{{ outputs.zzz }}": "Missing variable: 'outputs.zzz'; known here: load_data",
        "{{ text.json }}": "Missing variable: 'text.json': 'text' is a text; if it holds JSON, use fromJson()",
        "{{ items[3] }}": "Missing variable: 'items[3]': 'items' is a list of 1 items, counted from 0",
        "{{ items['a b'] }}": "Missing variable: 'items['a b']'",
    }
    for source, message in cases.items():
        with pytest.raises(expr.UndefinedVariable) as caught:
            expr.render(source, variables)
        assert caught.value.message.startswith(message)
        assert caught.value.line == 1


def test_errors_are_user_errors() -> None:
    from levada.model.errors import UserError

    assert issubclass(expr.ExpressionError, UserError)
    assert issubclass(expr.BudgetExceeded, expr.ExpressionError)
