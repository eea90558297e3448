"""Text, truth, comparison and arithmetic of values."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from levada import expr
from levada.expr import ExpressionError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (0, "0"),
        (-7, "-7"),
        (1.0, "1.0"),
        (1.123, "1.123"),
        (1e7, "1.0E7"),
        (12345678.9, "1.23456789E7"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (-2.5e-10, "-2.5E-10"),
        (float("inf"), "Infinity"),
        (Decimal("1.50"), "1.50"),
        ([1, "a", None, True, 1.5], '[1,"a",null,true,1.5]'),
        ({"k": {"x": []}}, '{"k":{"x":[]}}'),
        ({"n": 2**70}, '{"n":1180591620717411303424}'),
        (datetime(2013, 9, 8, 16, 19, tzinfo=UTC), "2013-09-08T16:19Z"),
        (datetime(2013, 9, 8, 16, 19, 1, tzinfo=ZoneInfo("Europe/Paris")), "2013-09-08T16:19:01+02:00[Europe/Paris]"),
        (datetime(2013, 9, 8, 16, 19, 1, 500000), "2013-09-08T16:19:01.500"),
        ({"d": datetime(2013, 9, 8, 16, 19, tzinfo=UTC)}, '{"d":"2013-09-08T16:19:00Z"}'),
        (date(2013, 9, 8), "2013-09-08"),
        (timedelta(minutes=90, milliseconds=1500), "PT1H30M1.5S"),
        (timedelta(0), "PT0S"),
        (b"bytes", "bytes"),
    ],
)
def test_a_value_prints_as_in_kestra(value: Any, text: str) -> None:
    assert expr.render("{{ v }}", {"v": value}) == text


def test_a_foreign_object_has_no_text() -> None:
    with pytest.raises(ExpressionError, match="type object has no text form"):
        expr.render("{{ v }}", {"v": object()})


def test_members_are_looked_up_and_never_attributes() -> None:
    class Holder:
        secret_field = 1

    with pytest.raises(expr.UndefinedVariable):
        expr.render("{{ v.secret_field }}", {"v": Holder()})
    for name in ("__class__", "__init__", "keys", "items"):
        with pytest.raises(expr.UndefinedVariable):
            expr.render("{{ v." + name + " }}", {"v": {}})


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ 7 / 2 }},{{ -7 / 2 }},{{ 7 / -2 }},{{ 7.0 / 2 }}", "3,-3,-3,3.5"),
        ("{{ 7 % 3 }},{{ -7 % 3 }},{{ 7.5 % 2 }}", "1,-1,1.5"),
        ("{{ 2 * 3.5 }},{{ 1 - 0.5 }}", "7.0,0.5"),
        ("{{ 9223372036854775807 + 1 }}", "9223372036854775808"),
        ("{{ '1' + 1 }},{{ 1 + '1' }},{{ 'a' + null }}", "11,11,anull"),
        ("{{ 'a' ~ null ~ 1 ~ true ~ [1] }}", "a1true[1]"),
        ("{{ [1] + 2 }},{{ [1] + [2, 3] }},{{ [1, 2, 1] - 1 }}", "[1,2],[1,2,3],[2]"),
        ("{{ +5 }},{{ - 5 }}", "5,-5"),
        ("{{ d - d2 }},{{ d2 + step }}", "PT24H,2024-01-01T01:00Z"),
    ],
)
def test_arithmetic_follows_java(source: str, text: str) -> None:
    variables = {
        "d": datetime(2024, 1, 2, tzinfo=UTC),
        "d2": datetime(2024, 1, 1, tzinfo=UTC),
        "step": timedelta(hours=1),
    }
    assert expr.render(source, variables) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 1.5 % 0 }}", "division by zero"),
        ("{{ 'a' * 3 }}", "needs two numbers, not a text and a number"),
        ("{{ true + 1 }}", "needs two numbers, not a boolean and a number"),
        ("{{ null - 1 }}", "needs two numbers"),
        ("{{ {} < 1 }}", "cannot compare a map with a number"),
        ("{{ 1 contains 1 }}", "`contains` looks into"),
        ("{{ null and true }}", "null is neither true nor false in `and`"),
        ("{{ not [] }}", "a list is neither true nor false in `not`"),
    ],
)
def test_what_has_no_meaning_is_an_error(source: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message.replace("`", ".").replace("[", ".")):
        expr.render(source, {})


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ("1 == 1.0", True),
        ("'1' == 1", False),
        ("true == 1", False),
        ("[1, [true]] == [1, [true]]", True),
        ("[true] == [1]", False),
        ("{'a': 1} == {'a': 1}", True),
        ("{'a': 1} == {'b': 1}", False),
        ("null == null", True),
        ("null != 0", True),
        ("'b' > 'a'", True),
        ("2 >= 2.0", True),
        ("null < 1", False),
        ("null >= null", False),
        ("d == '2024-01-01'", False),
        ("d < '2024-01-02'", True),
        ("d >= d", True),
        ("[1, 2, 3] contains 2", True),
        ("[1, 2, 3] contains [1, 4]", False),
        ("{'a': 1} contains 'a'", True),
        ("'hello' contains 'ell'", True),
        ("null contains 1", False),
        ("'1' in [1, 2]", True),
        ("3 isIn {'x': 3}", True),
        ("'x' in {'x': 3}", True),
        ("'z' isNotIn {'x': 3}", True),
        ("'ell' in 'hello'", True),
        ("null in [null]", False),
    ],
)
def test_values_compare(source: str, held: bool) -> None:
    assert expr.evaluate("{{ " + source + " }}", {"d": datetime(2024, 1, 1, tzinfo=UTC)}) is held


@pytest.mark.parametrize("value", ["", " ", "false", " 0", "-0", None, False, 0])
def test_a_condition_is_false(value: Any) -> None:
    assert not expr.truthy(value)


@pytest.mark.parametrize("value", ["true", "no", "FALSE", "0.0", "null", True, 1, [], {}])
def test_a_condition_is_true(value: Any) -> None:
    assert expr.truthy(value)


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ("x is defined", False),
        ("n is defined", False),
        ("x.y.z is not defined", True),
        ("a is defined", True),
        ("n is null", True),
        ("n is empty", True),
        ("'  ' is empty", True),
        ("[] is empty", True),
        ("0 is empty", False),
        ("4 is even", True),
        ("-3 is odd", True),
        ("[] is iterable", True),
        ("{} is iterable", False),
        ("{} is map", True),
        ("'{\"a\": 1}' is json", True),
        ("'nope' is json", False),
        ("n is json", False),
        ("'x' is string", True),
        ("1.5 is number", True),
        ("a is not map", True),
    ],
)
def test_a_test_holds_or_not(source: str, held: bool) -> None:
    assert expr.evaluate("{{ " + source + " }}", {"a": 1, "n": None}) is held
