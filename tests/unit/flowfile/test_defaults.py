from typing import Any

import msgspec
import pytest

from levada.flowfile import parse
from levada.flowfile.defaults import Default, apply
from levada.sdk import Registry, Task


class One(Task):
    TYPE = "my.Task"
    ALIASES = ("my.TaskAlias",)

    value: int | None = None


REGISTRY = Registry([One])


def merged(task: dict[str, Any], flow: list[Default], server: list[Default] | None = None) -> dict[str, Any]:
    data = {"tasks": [{"id": "test", **task}]}
    out = apply(data, flow, server or [], REGISTRY)["tasks"][0]
    assert data == {"tasks": [{"id": "test", **task}]}
    return {key: value for key, value in out.items() if key not in ("id", "type")}


GLOBAL = {"foo": "global", "bar": "global", "baz": "global"}
FLOW = {"bar": "flow", "baz": "flow"}


@pytest.mark.parametrize(
    ("flow_forced", "server_forced", "expected"),
    [
        (False, False, {"foo": "global", "bar": "flow", "baz": "task"}),
        (False, True, {"foo": "global", "bar": "global", "baz": "global"}),
        (True, False, {"foo": "global", "bar": "flow", "baz": "flow"}),
        (True, True, {"foo": "global", "bar": "flow", "baz": "flow"}),
    ],
)
def test_the_task_wins_over_the_flow_over_the_server_unless_forced(
    flow_forced: bool, server_forced: bool, expected: dict[str, str]
) -> None:
    flow, server = Default("my.Task", FLOW, flow_forced), Default("my.Task", GLOBAL, server_forced)
    assert merged({"type": "my.Task", "baz": "task"}, [flow], [server]) == expected


def test_a_longer_prefix_wins_over_a_shorter_one_in_any_order() -> None:
    defaults = [
        Default("my.pkg.Task", {"set": 789}),
        Default("my.pkg.", {"value": 2, "set": 456}),
        Default("my.pkg2.", {"value": 3}),
        Default("my", {"set": 1, "other": 1}),
    ]
    assert merged({"type": "my.pkg.Task"}, defaults) == {"set": 789, "value": 2, "other": 1}
    assert merged({"type": "my.pkg.Task"}, defaults[::-1]) == {"set": 789, "value": 2, "other": 1}
    assert merged({"type": "my.pkg.Task", "set": 666}, defaults)["set"] == 666


def test_a_default_holds_for_every_name_of_a_class() -> None:
    assert merged({"type": "my.Task"}, [Default("my.TaskAlias", {"value": 1})]) == {"value": 1}
    assert merged({"type": "my.TaskAlias"}, [Default("my.Task", {"value": 1})]) == {"value": 1}


def test_maps_merge_and_lists_are_joined() -> None:
    flow = Default("my.Task", {"list": [1], "map": {"a": 1, "b": {"c": 1}}})
    server = Default("my.Task", {"list": [2], "map": {"a": 2, "b": {"d": 2}}})
    assert merged({"type": "my.Task"}, [flow], [server]) == {"list": [2, 1], "map": {"a": 1, "b": {"c": 1, "d": 2}}}


def test_defaults_reach_nested_types_but_not_the_values_of_defaults() -> None:
    default = Default("my.Task", {"runner": {"type": "my.Task"}})
    assert merged({"type": "my.Task"}, [default]) == {"runner": {"type": "my.Task"}}
    nested = merged({"type": "other.Task", "inner": [{"type": "my.Task"}]}, [Default("my.Task", {"value": 1})])
    assert nested == {"inner": [{"type": "my.Task", "value": 1}]}


def test_a_flow_with_defaults_has_them_in_its_tasks(read) -> None:
    flow = read(
        """
taskDefaults:
  - {type: io.kestra.plugin.core.log.Log, values: {level: WARN}}
pluginDefaults:
  - {type: io.kestra.plugin.core.log, forced: true, values: {message: forced}}
tasks:
  - id: p
    type: core.flow.Sequential
    tasks: [{id: t, type: core.log.Log}]
"""
    )
    assert flow.flow.tasks[0].branches["tasks"][0].properties == {"level": "WARN", "message": "forced"}
    assert flow.deprecations == ["taskDefaults"]
    assert flow.data["tasks"][0]["tasks"] == [{"id": "t", "type": "core.log.Log"}]


@pytest.mark.parametrize(
    ("default", "message"),
    [
        ("{type: core.log.Log}", "pluginDefaults[0].values: must not be null"),
        ("{values: {a: b}}", "pluginDefaults[0].type: must not be null"),
        ("{type: x.Y, values: {a: null}}", "pluginDefaults[0].values.a: must not be null"),
        ("{type: core.log.Log, values: {level: LOUD}}", "pluginDefaults[0].values.level: must be one of"),
        ("{type: core.log.Log, values: {}, force: true}", 'Unrecognized field "force" of a plugin default'),
        ("{type: core.log.Log, values: {leval: WARN}}", 'tasks[0].leval: Unrecognized field "leval" of core.log.Log'),
    ],
)
def test_defaults_that_make_no_sense_are_refused(problems, default: str, message: str) -> None:
    log = "tasks:\n  - {id: t, type: core.log.Log, message: x}\n"
    assert any(message in one for one in problems(log + f"pluginDefaults: [{default}]"))


def test_defaults_of_the_server_are_used_too() -> None:
    source = msgspec.json.encode({"id": "a", "namespace": "b", "tasks": [{"id": "t", "type": "my.Task"}]}).decode()
    parsed = parse(source, REGISTRY, server_defaults=[Default("my", {"value": 5})])
    assert parsed.flow.tasks[0].properties == {"value": 5}
