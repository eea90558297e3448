"""From rendered text to typed properties."""

from datetime import timedelta
from typing import Any, Literal

import msgspec
import pytest

from levada.expr import Secret
from levada.sdk import Part, Task
from levada.sdk.properties import BadProperty, convert


class Inner(Part, frozen=True):
    max_attempts: int = 1


class Sample(Task, kw_only=True):
    TYPE = "test.Sample"

    number: int = 0
    ratio: float | None = None
    flag: bool | None = None
    text: str = ""
    maybe: str | None = None
    names: list[str] = []  # noqa: RUF012  msgspec copies it
    map: dict[str, Any] = {}  # noqa: RUF012
    wait: timedelta | None = None
    kind: Literal["ONE", "TWO"] = "ONE"
    inner: Inner | None = None
    either: str | dict[str, int] | None = None
    anything: Any = None


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("number", "3", 3),
        ("number", " 3 ", 3),
        ("ratio", "1.5", 1.5),
        ("ratio", 2, 2.0),
        ("ratio", "", None),
        ("flag", "true", True),
        ("flag", "FALSE", False),
        ("flag", None, None),
        ("text", 5, "5"),
        ("text", True, "true"),
        ("maybe", "", ""),
        ("maybe", None, None),
        ("names", '["a", 1]', ["a", "1"]),
        ("names", None, []),
        ("map", '{"a": [1]}', {"a": [1]}),
        ("wait", "PT1M", timedelta(minutes=1)),
        ("wait", "P2W", timedelta(days=14)),
        ("wait", "P1Y", timedelta(days=365)),
        ("wait", 1.5, timedelta(seconds=1.5)),
        ("kind", "two", "TWO"),
        ("inner", '{"maxAttempts": "4"}', Inner(max_attempts=4)),
        ("either", "{not json", "{not json"),
        ("either", {"a": "1"}, {"a": 1}),
        ("anything", "3", "3"),
        ("text", Secret("hidden"), "hidden"),
    ],
)
def test_text_becomes_what_is_declared(name: str, given: Any, expected: Any) -> None:
    found = getattr(convert(Sample, {name: given}), name)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"number": "many"}, r"property `number` of test\.Sample: expected `int`.*\"many\""),
        ({"names": ["a", {}]}, r"property `names\[1\]`"),
        ({"inner": {"maxAttempts": "x"}}, r"property `inner\.maxAttempts`"),
        ({"inner": {"attempts": 1}}, r"property `inner\.attempts` of test\.Sample does not exist"),
        ({"wait": "soon"}, r"property `wait`: `soon` is not a duration"),
        ({"kind": "THREE"}, r"property `kind`.*THREE"),
        ({"numbr": 1}, r"property `numbr` of test\.Sample does not exist"),
    ],
)
def test_what_does_not_fit_names_the_property_and_the_value(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadProperty, match=message):
        convert(Sample, values)


def test_a_missing_property_is_named() -> None:
    class Strict(Task, kw_only=True):
        TYPE = "test.Strict"
        uri: str

    with pytest.raises(BadProperty, match=r"property `uri` of test\.Strict is required"):
        convert(Strict, {})
    with pytest.raises(BadProperty, match="is required"):
        convert(Strict, {"uri": None})


def test_a_secret_is_not_shown_in_the_message() -> None:
    with pytest.raises(BadProperty) as problem:
        convert(Sample, {"number": Secret("hunter2")})
    assert "hunter2" not in str(problem.value)
    assert msgspec.structs.fields(Sample)
