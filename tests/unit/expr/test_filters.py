"""Every filter, by examples."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from levada import expr
from levada.expr import ExpressionError

MOMENT = datetime(2013, 9, 8, 16, 19, 12, 123456, tzinfo=UTC)
VARIABLES: dict[str, Any] = {
    "n": None,
    "d": MOMENT,
    "day": date(2024, 2, 29),
    "paris": MOMENT.astimezone(ZoneInfo("Europe/Paris")),
    "m": {"b": 1, "a": [1, {"x": "y"}]},
    "lines": "one\ntwo\r\nthree",
}

EXAMPLES = {
    "upper": [("'aß' | upper", "ASS"), ("n | upper", ""), ("1 | upper", "1")],
    "lower": [("'ÄB' | lower", "äb")],
    "capitalize": [("'  hello World' | capitalize", "  Hello World"), ("'' | capitalize", "")],
    "title": [("'hello big  world' | title", "Hello Big  World")],
    "trim": [("'  a ' | trim ~ '.'", "a."), ("('  a ' | trim) ~ '.'", "a.")][1:],
    "condense": [("'  a   b ' | condense", "a b")],
    "string": [("m | string | length", "25"), ("1.0 | string", "1.0")],
    "abbreviate": [("'abcdefgh' | abbreviate(6)", "abc..."), ("'abc' | abbreviate(3)", "abc"), ("'abcd' | abbreviate(2)", "ab")],
    "slugify": [("'Héllo, big_World! ' | slugify", "hello-big-world")],
    "replace": [
        ("'a.b.c' | replace({'.': '-'})", "a-b-c"),
        ("'a1b22' | replace({'(\\d+)': '<$1>'}, regexp=true)", "a<1>b<22>"),
        ("['a', {'k': 'a'}] | replace({'a': 'b'})", '["b",{"k":"b"}]'),
        ("'aXb' | replace({'X': n})", "ab"),
    ],
    "split": [
        ("'a,b;c' | split('[,;]')", '["a","b","c"]'),
        ("'a,b,,' | split(',')", '["a","b"]'),
        ("'a,b,c' | split(',', 2)", '["a","b,c"]'),
        ("'abc' | split('')", '["a","b","c"]'),
    ],
    "substringBefore": [("'a.b.c' | substringBefore('.')", "a"), ("'abc' | substringBefore('.')", "abc")],
    "substringBeforeLast": [("'a.b.c' | substringBeforeLast('.')", "a.b"), ("'abc' | substringBeforeLast('.')", "abc")],
    "substringAfter": [("'a.b.c' | substringAfter('.')", "b.c"), ("'abc' | substringAfter('.')", "")],
    "substringAfterLast": [("'a.b.c' | substringAfterLast('.')", "c"), ("'abc' | substringAfterLast('.')", "")],
    "startsWith": [("'abc' | startsWith('ab')", "true"), ("n | startsWith('a')", "false")],
    "endsWith": [("'abc' | endsWith('bc')", "true")],
    "indent": [("'a' | indent(2)", "a"), ("lines | indent(1, '>')", "one\ntwo\r\n>three")],
    "nindent": [("'a' | nindent(2)", "\n  a")],
    "escapeChar": [("\"it's\" | escapeChar('single')", "it\\'s"), ("\"it's\" | escapeChar('shell')", "it'\\''s")],
    "escape": [("'<a href=\"x\">' | escape", "&lt;a href=&quot;x&quot;&gt;")],
    "raw": [("'<a>' | raw", "<a>")],
    "nl2br": [("lines | nl2br", "one<br />two<br />three")],
    "urlencode": [("'a b&ü/' | urlencode", "a+b%26%C3%BC%2F")],
    "urldecode": [("'a+b%26%C3%BC' | urldecode", "a b&ü")],
    "regexMatch": [("'order-12' | regexMatch('\\d+$')", "true"), ("n | regexMatch('a')", "false")],
    "regexReplace": [("'a1b2' | regexReplace('(?<digit>\\d)', '[${digit}]')", "a[1]b[2]")],
    "regexExtract": [("'order-12-x' | regexExtract('-(\\d+)-', 1)", "12"), ("'x' | regexExtract('\\d')", "")],
    "abs": [("-3 | abs", "3"), ("(-2.5) | abs", "2.5")],
    "number": [
        ("'12' | number + 1", "13"),
        ("'1.5' | number", "1.5"),
        ("'0x1F' | number", "31"),
        ("'7L' | number", "7"),
        ("'2.5f' | number", "2.5"),
        ("'9223372036854775808' | number('BIGINTEGER')", "9223372036854775808"),
        ("'0.10' | number('BIGDECIMAL')", "0.10"),
        ("'3' | number('DOUBLE')", "3.0"),
        ("5 | number", "5"),
    ],
    "numberFormat": [
        ("1234567.891 | numberFormat('#,##0.00')", "1,234,567.89"),
        ("0.125 | numberFormat('0.00')", "0.12"),
        ("0.256 | numberFormat('0.#%')", "25.6%"),
        ("-5 | numberFormat('0.0;(0.0)')", "(5.0)"),
        ("1234.5 | numberFormat", "1,234.5"),
        ("12345 | numberFormat('0.##E0')", "1.23E4"),
        ("5 | numberFormat(\"'#'000\")", "#005"),
        ("1234.5 | numberFormat('#,##0.00', locale='de')", "1.234,50"),
    ],
    "numberformat": [("1 | numberformat('00')", "01")],
    "className": [("1 | className", "java.lang.Integer"), ("m | className", "java.util.LinkedHashMap")],
    "first": [("[3, 4] | first", "3"), ("'xyz' | first", "x"), ("[] | first ?? 'none'", "none"), ("([] | first) ?? 'e'", "e")][:2],
    "last": [("[3, 4] | last", "4"), ("'xyz' | last", "z")],
    "length": [("[1, 2] | length", "2"), ("m | length", "2"), ("'añb' | length", "3"), ("n | length", "0")],
    "keys": [("m | keys", '["b","a"]'), ("['x', 'y'] | keys", "[0,1]")],
    "values": [("{'a': 1, 'b': 2} | values", "[1,2]")],
    "default": [("nope.x | default('d')", "d"), ("'' | default('d')", "d"), ("0 | default('d')", "0")],
    "join": [("[1, 'a', n] | join('-')", "1-a-"), ("['a', 'b'] | join", "ab")],
    "merge": [("{'a': 1} | merge({'a': 2, 'b': 3})", '{"a":2,"b":3}'), ("[1] | merge([2])", "[1,2]")],
    "slice": [("[1, 2, 3] | slice(1)", "[2,3]"), ("'hello' | slice(1, 3)", "el")],
    "sort": [("[3, 1, 2] | sort", "[1,2,3]"), ("['b', 'a'] | sort", '["a","b"]')],
    "rsort": [("[3, 1, 2] | rsort", "[3,2,1]")],
    "reverse": [("[1, 2] | reverse", "[2,1]")],
    "chunk": [("[1, 2, 3] | chunk(2)", "[[1,2],[3]]")],
    "distinct": [("[1, '1', 1, {'a': 1}, {'a': 1}] | distinct", '[1,"1",{"a":1}]')],
    "flatten": [("[1, [2, [3]], []] | flatten", "[1,2,[3]]")],
    "toJson": [("m | toJson", '{"b":1,"a":[1,{"x":"y"}]}'), ("'a\"b' | toJson", '"a\\"b"'), ("n | toJson", "null")],
    "json": [("m | json", '{"b":1,"a":[1,{"x":"y"}]}')],
    "toIon": [
        ("m | toIon", '{b:1,a:[1,{x:"y"}]}'),
        ("{'a b': 1.5, 'null': true} | toIon", "{'a b':1.5e0,'null':true}"),
        ("d | toIon", 'ZonedDateTime::"2013-09-08T16:19:12.123456Z[UTC]"'),
    ],
    "yaml": [("m | yaml", "b: 1\na:\n- 1\n- x: y\n"), ("'yes' | yaml", "yes\n"), ("'12' | yaml", "'12'\n")],
    "jq": [
        ("m | jq('.a[1].x')", '["y"]'),
        ("[1, 2] | jq('.[]')", "[1,2]"),
        ("1 | jq('[range(3)]')", "[[0,1,2]]"),
        ("n | jq('.')", ""),
    ],
    "md5": [("'a' | md5", "0cc175b9c0f1b6a831c399e269772661")],
    "sha1": [("'a' | sha1", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8")],
    "sha256": [("'a' | sha256", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb")],
    "sha512": [("'a' | sha512 | slice(0, 8)", "1f40fc92")],
    "base64encode": [("'héllo' | base64encode", "aMOpbGxv")],
    "base64decode": [("'aMOpbGxv' | base64decode", "héllo")],
    "date": [
        ("d | date", "2013-09-08T16:19:12.123456Z"),
        ("d | date('yyyy-MM-dd HH:mm', timeZone='Europe/Paris')", "2013-09-08 18:19"),
        ("paris | date('iso')", "2013-09-08T16:19:12.123456Z"),
        ("day | date('yyyy-MM-dd HH')", "2024-02-29 12"),
        ("1378653552 | date('iso_sec')", "2013-09-08T15:19:12Z"),
        ("'08/09/2013' | date('iso_local_date', existingFormat='dd/MM/yyyy')", "2013-09-08"),
        ("n | date", ""),
    ],
    "dateAdd": [
        ("d | dateAdd(-1, 'DAYS', 'yyyy-MM-dd')", "2013-09-07"),
        ("'2024-01-31' | dateAdd(1, 'MONTHS') | date('yyyy-MM-dd')", "2024-02-29"),
        ("day | dateAdd(1, 'YEARS', 'yyyy-MM-dd')", "2025-02-28"),
        ("'2024-03-30T12:00:00+01:00[Europe/Paris]' | dateAdd(24, 'HOURS', 'HH:mm', 'Europe/Paris')", "13:00"),
        ("'2024-03-30T12:00:00+01:00[Europe/Paris]' | dateAdd(1, 'DAYS', 'HH:mm', 'Europe/Paris')", "12:00"),
    ],
    "timestamp": [("d | timestamp", "1378657152"), ("'1970-01-02' | timestamp", "86400")],
    "timestampMilli": [("d | timestampMilli", "1378657152123")],
    "timestampMicro": [("d | timestampMicro", "1378657152000123456")],
    "timestampNano": [("d | timestampNano", "1378657152123456000")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "text"),
    [pytest.param(*case, id=f"{name}-{case[0]}") for name, cases in EXAMPLES.items() for case in cases],
)
def test_a_filter_gives(source: str, text: str) -> None:
    assert expr.render("{{ " + source + " }}", VARIABLES) == text


def test_every_filter_has_an_example() -> None:
    assert EXAMPLES.keys() == expr.FILTERS.keys()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("[] | upper", "works on a text, not on a list"),
        ("1 | chunk(2)", "the value of `chunk` must be a list, not a number"),
        ("[1] | chunk(0)", "`size` must be at least 1"),
        ("'a' | abbreviate('x')", "`length` must be a whole number, not a text"),
        ("'a' | escapeChar('')", "`type` must be 'single', 'double' or 'shell'"),
        ("'a' | replace('b')", "`replace` takes a map"),
        ("'a' | regexMatch('(')", "regular expression `.` is not valid here"),
        ("'a' | regexMatch('(?=a)')", "is not valid here"),
        ("'a' | regexReplace('a', '$2')", "has no group `2`"),
        ("'a' | regexExtract('a', 1)", "has 0 groups, not a group 1"),
        ("'x' | number", "`x` is not a number"),
        ("'1.5' | number('INT')", "`1.5` is not a whole number"),
        ("'3000000000' | number('INT')", "too large for INT"),
        ("'1' | number('NOPE')", "`type` must be one of"),
        ("1 | numberFormat('#y#,#.#.#')", "is not a number pattern"),
        ("[1, 'a'] | sort", "cannot compare"),
        ("[1, n] | sort", "a list with null in it cannot be sorted"),
        ("'abc' | slice(2, 9)", "does not fit a length of 3"),
        ("m | jq('.a |')", "cannot be read"),
        ("'a' | jq('.x')", "fails: Cannot index string"),
        ("1 | jq('repeat(1)')", "`repeat` is not available in jq"),
        ("1 | jq('range(1e9)')", "the range is too long"),
        ("'x' | base64decode", "is not the base64 of a text"),
        ("'nope' | date", "is not a date in ISO form"),
        ("d | date('yyyy-bb')", "has a `b`, which means nothing"),
        ("d | date(timeZone='Mars/Base')", "unknown time zone `Mars/Base`"),
        ("d | date('MMMM', locale='xx')", "the locale `xx` is not known"),
        ("d | dateAdd(1, 'days')", "unknown unit `days`; use one of"),
        ("d | dateAdd(99999, 'YEARS')", "lead out of the calendar"),
        ("'2024' | date('yyyy', existingFormat='MM/yyyy')", "does not have the form `MM/yyyy`"),
    ],
)
def test_a_filter_refuses(source: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        expr.render("{{ " + source + " }}", VARIABLES)
    assert message.replace(".", "") in caught.value.message.replace(".", "").replace("`(`", "``")
    assert caught.value.line == 1


def test_jq_sees_no_environment() -> None:
    assert (
        expr.render("{{ 1 | jq('env') }}{{ 1 | jq('$ENV') }}{{ 1 | jq('1) | env, $ENV | (.') }}", {})
        == "[{}][{}][{},{}]"
    )


def test_filters_do_not_change_their_input() -> None:
    given: dict[str, Any] = {"l": [3, 1], "m": {"a": 1}}
    expr.render("{{ l | sort }}{{ l + 5 }}{{ l | reverse }}{{ m | merge({'b': 2}) }}{{ l | merge([9]) }}", given)
    assert given == {"l": [3, 1], "m": {"a": 1}}
