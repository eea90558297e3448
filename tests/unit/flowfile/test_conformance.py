"""The flows and mistakes of Kestra's own test suite, read from outside the repository (skipped where they are absent)."""

import json
import os
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from levada import plugins
from levada.flowfile import InvalidFlow, documents, json_schema, parse
from levada.flowfile.loader import load
from levada.sdk import Registry

FOLDER = Path(os.environ.get("LEVADA_CONFORMANCE_DIR", Path(__file__).parents[4] / "shared" / "conformance"))
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the conformance data is not here")

FLOWS = sorted(
    path for path in (FOLDER / "kestra").rglob("*.y*ml") if "flows" in path.parts and "invalids" not in path.parts
)
#: Types that exist only in Kestra's own tests.
TEST_TYPES = (".test.", "ListenersTestTask")


@pytest.fixture(scope="module")
def every_type() -> Registry:
    return plugins.discover()


@pytest.fixture(scope="module")
def validator(every_type: Registry) -> Any:
    return jsonschema_rs.Draft7Validator(json_schema.flow(every_type))


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.name)
def test_every_valid_flow_is_accepted_by_the_reader_and_the_schema(
    every_type: Registry, validator: Any, path: Path
) -> None:
    for piece in documents.split(path.read_text()):
        if any(one in piece.source for one in TEST_TYPES):
            with pytest.raises(InvalidFlow) as caught:
                parse(piece.source, every_type)
            assert all("Invalid type" in problem.message for problem in caught.value.problems)
            continue
        parsed = parse(piece.source, every_type, line_offset=piece.line_offset)
        assert parsed.flow.tasks
        assert [error.message for error in validator.iter_errors(parsed.data)] == []


def entries() -> list[Any]:
    path = FOLDER / "invalid.yaml"
    if not path.is_file():
        return []
    chosen = [
        one for one in load(path.read_text()).data["invalid"] if one["kind"] in ("flow", "task", "trigger", "model")
    ]
    return [
        pytest.param(one, kind, id=f"{one['id']}{'-' + kind if kind else ''}")
        for one in chosen
        if one["kind"] != "model" or one["model"] in WRAPPED
        for kind in one.get("for_each_type", [""])
    ]


TASKS = [{"id": "t", "type": "io.kestra.plugin.core.debug.Return", "format": "ok"}]


def upstream(preconditions: dict[str, Any]) -> dict[str, Any]:
    trigger = {"id": "f", "type": "io.kestra.plugin.core.trigger.Flow", "preconditions": {"id": "p", **preconditions}}
    return {"triggers": [trigger]}


#: How one part becomes a flow.
WRAPPED = {
    "task": lambda value: {"tasks": [value]},
    "trigger": lambda value: {"triggers": [{"id": "s", **value}]},
    "retry": lambda value: {"tasks": [{**TASKS[0], "retry": value}]},
    "sla": lambda value: {"sla": [value]},
    "input": lambda value: {"inputs": [value]},
    "pluginDefault": lambda value: {"pluginDefaults": [value]},
    "regex": lambda value: {"inputs": [{"id": "i", "type": "STRING", "validator": value}]},
    "timeWindow": lambda value: upstream({"timeWindow": value, "flows": [{"namespace": "a", "flowId": "b"}]}),
    "preconditionFilter": lambda value: upstream({"where": [{"id": "w", "filters": [value]}]}),
    "timezoneId": lambda value: {
        "triggers": [
            {"id": "s", "type": "io.kestra.plugin.core.trigger.Schedule", "cron": "* * * * *", "timezone": value}
        ]
    },
}


def source_of(entry: dict[str, Any], kind: str) -> str:
    if entry["kind"] == "model":
        part = WRAPPED[entry["model"]](entry["value"])
    elif entry["kind"] in ("task", "trigger"):
        part = WRAPPED[entry["kind"]](json.loads((FOLDER / "kestra" / entry["file"]).read_text()))
    elif "inline" in entry:
        return json.dumps(entry["inline"]).replace("${uuid}", "some-id")
    else:
        return (FOLDER / "kestra" / entry["file"]).read_text()
    return json.dumps({"id": "a", "namespace": "b", "tasks": TASKS, **part}).replace("${type}", kind)


@pytest.mark.parametrize(("entry", "kind"), entries())
def test_what_kestra_refuses_is_refused_with_its_words(every_type: Registry, entry: dict[str, Any], kind: str) -> None:
    source = source_of(entry, kind)
    if entry.get("valid"):
        parse(source, every_type)
        return
    with pytest.raises(InvalidFlow) as caught:
        parse(source, every_type)
    if "jvm-message" in entry.get("tags", []):
        return
    text = "\n".join(problem.described() for problem in caught.value.problems)
    wanted = [*entry.get("message_contains", []), *entry.get("violation_messages", [])]
    wanted += [*entry.get("violation_messages_contain", []), entry.get("message_equals", "")]
    for one in wanted:
        assert one.replace("${type}", kind).strip().lstrip(": ") in text
