from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
import pytest

from levada.flowfile import InvalidFlow, parse
from levada.sdk import Part, Registry, Task


class Basic(Part, frozen=True, tag_field="type", tag="BASIC"):
    user: str


class Bearer(Part, frozen=True, tag_field="type", tag="BEARER"):
    token: str


class Options(Part, frozen=True):
    auth: Basic | Bearer | None = None
    read_timeout: timedelta | None = None


class Probe(Task):
    TYPE = "test.Probe"

    needed: str
    number: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    ratio: float = 1.0
    on: bool = False
    method: Literal["GET", "POST"] = "GET"
    items: list[str] | None = None
    headers: dict[str, Any] | None = None
    either: str | list[str] | None = None
    options: Options | None = None
    wait: timedelta | None = None
    short: Annotated[str, msgspec.Meta(min_length=1, max_length=3)] = "x"
    from_: Annotated[str | None, msgspec.Meta(description="a reserved word")] = msgspec.field(default=None, name="from")


REGISTRY = Registry([Probe])


def errors(properties: dict[str, Any]) -> list[str]:
    task = {"id": "t", "type": "test.Probe", "needed": "x", **properties}
    source = msgspec.json.encode({"id": "a", "namespace": "b", "tasks": [task]}).decode()
    try:
        parse(source, REGISTRY)
    except InvalidFlow as invalid:
        return [problem.described().removeprefix("tasks[0].") for problem in invalid.problems]
    return []


@pytest.mark.parametrize(
    "properties",
    [
        {"number": "5"},
        {"number": 5.0},
        {"number": "{{ inputs.n }}"},
        {"ratio": 1, "on": "true"},
        {"needed": 5},
        {"items": "{{ inputs.list }}"},
        {"items": '["a", "b"]'},
        {"items": ["{{ x }}", 3]},
        {"headers": {"a": {"b": [1]}}},
        {"headers": '{"a": 1}'},
        {"either": "x"},
        {"either": ["x"]},
        {"options": {"auth": {"type": "BEARER", "token": "{{ secret('T') }}"}, "readTimeout": "PT5S"}},
        {"options": {"auth": "{{ vars.auth }}"}},
        {"options": None, "wait": "pt0.5s"},
        {"wait": 5},
        {"from": "kestra:///x"},
    ],
)
def test_what_a_worker_can_convert_is_accepted(properties: dict[str, Any]) -> None:
    assert errors(properties) == []


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"needed": None}, "needed: must not be null"),
        ({"number": "five"}, "number: must be a whole number, but is a text"),
        ({"number": 0}, "number: must be greater than or equal to 1"),
        ({"number": 11}, "number: must be less than or equal to 10"),
        ({"number": 1.5}, "number: must be a whole number"),
        ({"on": "yes"}, "on: must be true or false, but is a text"),
        ({"method": "PUT"}, "method: must be one of GET, POST, but is `PUT`"),
        ({"items": "a"}, "items: must be a list, but is a text"),
        ({"items": [["a"]]}, "items[0]: must be a text, but is a list"),
        ({"headers": ["a"]}, "headers: must be a map, but is a list"),
        ({"either": {"a": 1}}, "either: must be a text or a list, but is a map"),
        ({"wait": "5m"}, "wait: `5m` is not an ISO 8601 duration; write it like PT30S, PT5M or P1DT12H"),
        ({"short": ""}, "short: must not be empty"),
        ({"short": "long"}, "short: must have at most 3 characters"),
        ({"options": {"aut": {}}}, 'options.aut: Unrecognized field "aut" of options; did you mean `auth`?'),
        ({"options": {"auth": {"type": "BEARER"}}}, "options.auth.token: must not be null"),
        ({"heders": {}}, 'heders: Unrecognized field "heders" of test.Probe; did you mean `headers`?'),
        ({"run_if": "x"}, 'run_if: Unrecognized field "run_if" of test.Probe; did you mean `runIf`?'),
    ],
)
def test_what_no_worker_can_convert_is_refused_by_name(properties: dict[str, Any], message: str) -> None:
    assert errors(properties) == [message]
