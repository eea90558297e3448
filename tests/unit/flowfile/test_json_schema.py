from typing import Any

import jsonschema_rs
import pytest

from levada.flowfile import json_schema
from levada.plugins.core.flow import Dag, Pause, Switch
from levada.plugins.core.log import Log
from levada.plugins.core.trigger import Schedule


@pytest.fixture(scope="module")
def validator(registry) -> Any:
    return jsonschema_rs.Draft7Validator(json_schema.flow(registry))


def flow(task: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "a", "namespace": "b", "tasks": [task], **more}


LOG = {"id": "t", "type": "io.kestra.plugin.core.log.Log", "message": "x"}


@pytest.mark.parametrize(
    "data",
    [
        flow(LOG),
        flow({**LOG, "type": "core.log.Log", "level": "{{ inputs.level }}"}),
        flow({**LOG, "type": "io.kestra.core.tasks.log.Log"}),
        flow({"id": "s", "type": "core.flow.Switch", "value": "x", "cases": {"a": [LOG]}, "defaults": None}),
        flow({"id": "d", "type": "core.flow.Dag", "tasks": [{"task": LOG, "dependsOn": ["x"]}]}),
        flow(LOG, triggers=[{"id": "s", "type": "core.trigger.Schedule", "cron": "@daily", "inputs": {"a": 1}}]),
        flow(LOG, inputs=[{"id": "i", "type": "SELECT", "values": ["a"]}], labels={"a": 1}),
        flow({"id": "t", "type": "some.other.Task", "anything": 1}),
    ],
)
def test_valid_flows_satisfy_the_schema(validator: Any, data: dict[str, Any]) -> None:
    assert [error.message for error in validator.iter_errors(data)] == []


@pytest.mark.parametrize(
    "data",
    [
        flow(LOG, unknown=1),
        {"id": "a", "namespace": "b", "tasks": []},
        flow({**LOG, "mesage": "x"}),
        flow({**LOG, "level": "LOUD"}),
        flow({"id": "t", "type": "core.log.Log"}),
        flow({"id": "s", "type": "core.flow.Switch", "value": "x", "cases": {"a": [{**LOG, "level": "LOUD"}]}}),
        flow({"id": "d", "type": "core.flow.Dag", "tasks": [LOG]}),
        flow(LOG, triggers=[{"id": "s", "type": "core.trigger.Schedule"}]),
        flow(LOG, inputs=[{"id": "i", "type": "INT", "values": ["a"]}]),
    ],
)
def test_invalid_flows_do_not(validator: Any, data: dict[str, Any]) -> None:
    assert not validator.is_valid(data)


def test_a_type_describes_its_own_and_the_common_properties() -> None:
    schema = json_schema.of_type(Log)
    assert schema["title"] == "Log"
    assert schema["description"] == "Logs one or several messages; evaluated by the executor."
    assert schema["required"] == ["id", "type", "message"]
    assert {"message", "level", "retry", "runIf", "timeout"} <= set(schema["properties"])
    assert schema["properties"]["level"]["default"] == "INFO"


def test_containers_describe_their_branches() -> None:
    assert {"cases", "defaults", "errors", "finally"} <= set(json_schema.of_type(Switch)["properties"])
    assert json_schema.of_type(Dag)["properties"]["tasks"]["items"]["required"] == ["task"]
    assert json_schema.of_type(Pause)["properties"]["onPause"] == {"$ref": "#/definitions/task"}
    assert "conditions" in json_schema.of_type(Schedule)["properties"]


def test_every_reference_leads_somewhere(registry) -> None:
    schema = json_schema.flow(registry)
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            target = node.get("$ref")
            assert target is None or target.removeprefix("#/definitions/") in schema["definitions"]
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def test_one_task_has_a_schema_of_its_own(registry) -> None:
    validator = jsonschema_rs.Draft7Validator(json_schema.part(registry, "task"))
    assert validator.is_valid(LOG)
    assert not validator.is_valid({**LOG, "mesage": "x"})
