"""Every function, by examples; what needs a service goes to the host."""

from __future__ import annotations

import re
from typing import Any

import pytest

from levada import expr
from levada.expr import ExpressionError
from levada.model.errors import UserError

VARIABLES: dict[str, Any] = {
    "n": None,
    "second": "{{ first }}",
    "first": "1",
    "loop_": "{{ loop_ }}x",
    "envs": {"stage": "test", "blank": ""},
    "tasks": {
        "a": {"state": "FAILED"},
        "b": {"state": "SUCCESS"},
        "c": {"v1": {"state": "failed"}, "v2": {"state": "SUCCESS"}},
    },
    "outputs": {
        "sibling": {"outer": {"inner": {"value": 42}}},
        "single": {"x": {"value": "first"}, "y": {"value": "second"}},
        "parent": {"outer": {"v": 1}},
    },
    "taskrun": {"value": "inner", "iteration": 1},
    "task": {"id": "single"},
    "parents": [{"task": {"id": "parent"}, "taskrun": {"value": "outer"}}],
    "parent": {"task": {"id": "parent"}, "taskrun": {"value": "outer"}},
    "loops": [{"outputs": {"n": 1}}, {"outputs": {}}, {}],
}

EXAMPLES: dict[str, list[tuple[str, str]]] = {
    "fromJson": [("fromJson('{\"a\": [1]}').a[0]", "1"), ("fromJson(n)", "")],
    "json": [("json('[1]')[0]", "1")],
    "yaml": [("yaml('a: yes').a", "yes"), ("yaml('1: [0x1F, 1.5, ~]')", '{"1":[31,1.5,null]}')],
    "fromIon": [
        ("fromIon('{a: 1, b: [x, \"y\", 2.5e0], c: null.int} {a: 2}')", '{"a":1,"b":["x","y",2.5],"c":null}'),
        ("fromIon('1 /* c */ true // d', allRows=true)", "[1,true]"),
        ("fromIon('')", ""),
    ],
    "range": [("range(1, 3)", "[1,2,3]"), ("range(6, 0, -2)", "[6,4,2,0]"), ("range('a', 'c')", '["a","b","c"]'), ("range(3, 1)", "[]")],
    "max": [("max(1, 3, 2)", "3"), ("max([1, 5])", "5"), ("max('a', 'b')", "b")],
    "min": [("min(2, 1.5)", "1.5")],
    "render": [("render(second)", "1"), ("render({'k': [second]})", '{"k":["1"]}'), ("render(5)", "5"), ("render(second, recursive=false)", "1")],
    "renderOnce": [("renderOnce('{% raw %}{{ x }}{% endraw %}')", "{{ x }}"), ("renderOnce(second)", "1")],
    "printContext": [("printContext().first", "1")],
    "fetchContext": [("fetchContext().envs.stage", "test")],
    "env": [("env('stage')", "test"), ("env('blank', 'd')", "d"), ("env('none', default='d')", "d")],
    "currentEachOutput": [("currentEachOutput(outputs.sibling).value", "42")],
    "iterationOutput": [("iterationOutput('sibling', 0) ?? 'none'", "42")],
    "parentOutput": [("parentOutput().v", "1"), ("parentOutput(0).v", "1")],
    "loopOutputs": [("loopOutputs(loops, 'n')", "[1,null,null]")],
    "tasksWithState": [("tasksWithState('failed')", '[{"taskId":"a","state":"FAILED"},{"taskId":"c","state":"FAILED","value":"v1"}]')],
    "now": [
        ("now()", "2024-05-17T08:09:10.123456Z"),
        ("now('HH:mm', timeZone='Europe/Paris')", "10:09"),
        ("now(format='iso_local_date')", "2024-05-17"),
    ],
    "dayOfWeek": [("dayOfWeek('2025-01-06T00:30:00+02:00')", "MONDAY")],
    "dayOfMonth": [("dayOfMonth('2025-01-06')", "6")],
    "monthOfYear": [("monthOfYear('2025-01-06')", "1")],
    "hourOfDay": [("hourOfDay('2025-01-06T14:30:00+02:00')", "14")],
    "isWeekend": [("isWeekend('2025-01-05')", "true"), ("isWeekend('2025-01-06')", "false")],
    "isDayWeekInMonth": [
        ("isDayWeekInMonth('2025-01-13', 'MONDAY', 'SECOND')", "true"),
        ("isDayWeekInMonth('2025-01-27', 'monday', 'last')", "true"),
        ("isDayWeekInMonth('2025-01-20', 'MONDAY', 'LAST')", "false"),
    ],
    "isLastWorkingDay": [
        ("isLastWorkingDay('2025-05-30')", "true"),
        ("isLastWorkingDay('2025-05-31')", "false"),
        ("isLastWorkingDay('2025-05-31', 'FRIDAY,SATURDAY')", "true"),
    ],
    "isDateBefore": [("isDateBefore('2025-01-01T00:00:00Z', '2025-01-01T00:00:00-01:00')", "true")],
    "isDateAfter": [("isDateAfter('2025-01-02', '2025-01-01')", "true")],
    "isDateBetween": [("isDateBetween('2025-01-02', '2025-01-01', '2025-01-02')", "false")],
    "uuid": [("uuid()", "0708090a-0b0c-4d0e-8f10-111213141516")],
    "id": [("id() | length", "22")],
    "ksuid": [("ksuid() | length", "27")],
    "nanoId": [("nanoId() | length", "21"), ("nanoId(5, 'ab') | regexMatch('^[ab]{5}$')", "true")],
    "randomInt": [("randomInt(5, 6)", "5"), ("randomInt(-3, 9) < 9", "true")],
    "randomPort": [("randomPort() >= 1024", "true")],
    "encrypt": [("decrypt('MDEyMzQ1Njc4OWFiY2RlZg==', encrypt('MDEyMzQ1Njc4OWFiY2RlZg==', 'gé'))", "gé")],
    "decrypt": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "text"),
    [pytest.param(*case, id=f"{name}-{case[0]}") for name, cases in EXAMPLES.items() for case in cases],
)
def test_a_function_gives(source: str, text: str, host: Any) -> None:
    assert expr.render("{{ " + source + " }}", VARIABLES, host) == text


def test_every_function_has_an_example_or_is_a_service() -> None:
    services = {name for name, entry in expr.FUNCTIONS.items() if entry.io}
    assert EXAMPLES.keys() | services == expr.FUNCTIONS.keys()
    assert {
        "secret",
        "kv",
        "read",
        "fileURI",
        "fileSize",
        "fileExists",
        "isFileEmpty",
        "http",
        "subflow",
        "errorLogs",
    } <= services


def test_a_service_function_is_handed_to_the_host(host: Any) -> None:
    assert expr.render("{{ kv('key', namespace='a.b', errorOnMissing=false).limit }}", {}, host) == "5"
    assert host.calls == [("kv", ["key"], {"namespace": "a.b", "errorOnMissing": False})]


def test_an_error_of_the_host_comes_through(host: Any) -> None:
    with pytest.raises(UserError, match="read is not there"):
        expr.render("{{ read('x') }}", {}, host)


@pytest.mark.parametrize("source", ["kv('k')", "secret('s')", "now()", "uuid()", "errorLogs()"])
def test_without_a_host_a_function_says_that_its_service_is_missing(source: str) -> None:
    name = source.partition("(")[0]
    with pytest.raises(ExpressionError, match=f"function `{name}` needs a service that is not available here"):
        expr.render("{{ " + source + " }}", {})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("fromJson('{')", "the text is not JSON"),
        ("fromJson({})", "the value is data already"),
        ("yaml('a: [')", "the text is not YAML"),
        ("fromIon('{a: ')", "the text is not Ion: a value is missing at line 1, column 5"),
        ("range(1, 5, 0)", "the step of a range must not be 0"),
        ("render(loop_)", "Too many rendering attempts"),
        ("randomInt('1', 2)", "`lower` must be a whole number, not a text"),
        ("randomInt(2, 1)", "`upper` is less than `lower`"),
        ("nanoId(0)", "`length` must be from 1 to 1000"),
        ("currentEachOutput(outputs.single)", "No execution outputs for the current task runs path"),
        ("parentOutput(7)", "Invalid index: 7"),
        ("isDayWeekInMonth('2025-01-13', 'NODAY', 'FIRST')", "must be one of MONDAY"),
        ("encrypt('short', 'x')", "`key` must be the base64 of"),
        ("decrypt('MDEyMzQ1Njc4OWFiY2RlZg==', 'AAAA')", "cannot be decrypted"),
        ("kv()", "`kv` needs the argument `key`"),
        ("kv('a', nme='b')", "`kv` has no argument `nme`"),
    ],
)
def test_a_function_refuses(source: str, message: str, host: Any) -> None:
    with pytest.raises(ExpressionError) as caught:
        expr.render("{{ " + source + " }}", VARIABLES, host)
    assert message in caught.value.message


def test_data_is_never_evaluated_a_second_time(host: Any) -> None:
    variables = {"body": "{{ secret('DB') }}", "m": {"{{ 1 + 1 }}": "{{ body }}"}}
    assert expr.render("{{ body }} {{ m }}", variables, host) == '{{ secret(\'DB\') }} {"{{ 1 + 1 }}":"{{ body }}"}'
    assert host.calls == []


def test_render_sees_what_the_template_has_set() -> None:
    assert expr.render("{% set first = '1' %}{{ render('{{ first }}') }}", {}) == "1"


def test_registries_document_themselves() -> None:
    for table in (expr.FUNCTIONS, expr.FILTERS, expr.TESTS, expr.OPERATORS):
        for name, entry in table.items():
            assert entry.doc, name
            assert entry.signature, name
            assert isinstance(entry.io, bool)
    assert expr.FILTERS["date"].signature == "date(format=null, timeZone=null, existingFormat=null, locale=null)"
    assert expr.FUNCTIONS["kv"].signature == "kv(key, namespace=null, errorOnMissing=true)"
    assert re.fullmatch(r"max\(…\)", expr.FUNCTIONS["max"].signature)
