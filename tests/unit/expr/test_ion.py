"""Ion text, read and written."""

from __future__ import annotations

import math
from typing import Any

import pytest

from levada.expr import ion
from levada.expr.errors import ExpressionError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("1 -2 0x1F 0b101 1_000", [1, -2, 31, 5, 1000]),
        ("1.5 2e3 3d-1 -0.25e0", [1.5, 2000.0, 0.3, -0.25]),
        ("true false null null.string", [True, False, None, None]),
        ('"a\\n\\"b\\u00e9" \'\'\'long \'\'\' \'\'\'text\'\'\'', ['a\n"bé', "long text"]),
        ("word 'quoted symbol'", ["word", "quoted symbol"]),
        ("{a: 1, 'b c': [x, (+ 1 2)], \"d\": {},}", [{"a": 1, "b c": ["x", ["+", 1, 2]], "d": {}}]),
        ("2024-01-31T10:00:00.000Z 2024-01-31 2024T", ["2024-01-31T10:00:00.000Z", "2024-01-31", "2024"]),
        ("ZonedDateTime::\"2024\" a::b::{x: c::1}", ["2024", {"x": 1}]),
        ("{{ aGk= }} {{\"clob\"}}", ["aGk=", "clob"]),
        ("1 // rest\n/* more */ 2", [1, 2]),
    ],
)  # fmt: skip
def test_ion_text_is_read(text: str, values: list[Any]) -> None:
    assert ion.load(text) == values


def test_infinities_are_read() -> None:
    plus, minus, nothing = ion.load("+inf -inf nan")
    assert (plus, minus) == (math.inf, -math.inf)
    assert math.isnan(nothing)


def test_only_as_many_values_are_read_as_asked_for() -> None:
    assert ion.load("1 2 {broken", most=2) == [1, 2]


@pytest.mark.parametrize(
    "text", ["{", "[1 2]", "{a 1}", '"open', "'open", "{{ !!! }}", "{{", "a::", "[" * 200, "]", '"\\q"']
)
def test_what_is_no_ion_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        ion.load(text)


def test_values_are_written() -> None:
    value = {"a": [1, 1.5, 1e300, True, None], "b c": 'q"\n', "true": math.inf, "it's": ""}
    assert ion.dump(value) == "{a:[1,1.5e0,1e+300,true,null],'b c':\"q\\\"\\n\",'true':+inf,'it\\'s':\"\"}"
    assert ion.load(ion.dump(value)) == [value]
