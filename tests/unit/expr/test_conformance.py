"""Plays the expression facts of the conformance folder directly against the language; skipped where the folder is absent."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from levada import expr
from levada.expr import instants
from levada.model.errors import UserError

FOLDER = Path(os.environ.get("LEVADA_CONFORMANCE_DIR", Path(__file__).parents[4] / "shared" / "conformance"))
FILE = FOLDER / "expressions.yaml"

KNOWN: dict[str, str] = {
    "expr-056": "recursive rendering as a global setting is gone in 2.0; render() exists always",
    "expr-138": "numbers are doubles here; there is no 32-bit float",
    "expr-178": "numbers are doubles here; there is no 32-bit float",
    "expr-152": "whole numbers have one type here, whatever their size",
}

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the conformance folder is not here")


def _cases() -> list[Any]:
    if not FILE.exists():
        return []
    return [pytest.param(case, id=case["id"]) for case in yaml.safe_load(FILE.read_text())["expressions"]]


class World:
    """A host with one namespace file, one file in internal storage and no errors."""

    def __init__(self, case: dict[str, Any]) -> None:
        setup = case.get("setup") or {}
        self.stored = setup.get("storage_file") or {}
        self.namespace_file = setup.get("namespace_file") or {}
        self.variables: dict[str, Any] = {}
        self.file_uri = "kestra://" + self.stored["path"] if self.stored else ""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def random_bytes(self, n: int) -> bytes:
        return os.urandom(n)

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if name == "errorLogs":
            return []
        if name == "fileURI":
            raise UserError("Path must not contain '../'")
        if name in ("read", "fileSize"):
            content = self._content(args[0])
            return content if name == "read" else len(content)
        raise UserError(f"no {name} here")

    def _content(self, path: str) -> str:
        if path.startswith("kestra://"):
            owners = [(self.variables.get("flow", {}), self.variables.get("execution", {}).get("id"))]
            trigger = self.variables.get("trigger", {})
            owners.append(
                (
                    {"namespace": trigger.get("namespace", ""), "id": trigger.get("flowId", "")},
                    trigger.get("executionId"),
                )
            )
            for flow, execution in owners:
                base = f"kestra:///{flow['namespace'].replace('.', '/')}/{flow['id']}/executions/{execution}/"
                if path.startswith(base):
                    return str(self.stored["content"])
            raise UserError(f"Unable to read the file '{path}' as it didn't belong to the current execution")
        if self.namespace_file and path.strip("/") == self.namespace_file["path"].strip("/"):
            return str(self.namespace_file["content"])
        raise UserError(f"no file {path}")


def _value(raw: Any, world: World) -> Any:
    if isinstance(raw, list):
        return [_value(item, world) for item in raw]
    if not isinstance(raw, dict):
        return raw.replace("${file}", world.file_uri) if isinstance(raw, str) else raw
    if len(raw) == 1:
        ((kind, inner),) = raw.items()
        if kind == "$zoned":
            return datetime.fromisoformat(inner)
        if kind in ("$local_datetime", "$instant"):
            return datetime.fromisoformat(inner)
        if kind == "$duration":
            return instants.parse_duration(inner)
        if kind in ("$array", "$set", "$uri", "$float32", "$long"):
            return _value(inner, world)
    return {key: _value(item, world) for key, item in raw.items()}


def _dynamic(text: Any) -> Any:
    def now(found: re.Match[str]) -> str:
        zone = UTC if found.group(2) == "system" else ZoneInfo(found.group(2))
        return f"{datetime.now(zone):%Y-%m-%d}" if found.group(1) == "today" else f"{datetime.now(zone):%H:%M}"

    return re.sub(r"\$\{(today|HH:mm):([\w/]+)\}", now, text) if isinstance(text, str) else text


def _converted(text: Any, mode: str) -> Any:
    kind = mode.partition(":")[2]
    if kind in ("map", "list"):
        return json.loads(text) if text is not None else {} if kind == "map" else []
    if text is None or kind == "string":
        return text
    return int(text) if kind == "int" else instants.parse_duration(text)


@pytest.mark.parametrize("case", _cases())
def test_a_template_gives_what_kestra_gives(case: dict[str, Any]) -> None:
    if case["id"] in KNOWN:
        pytest.skip(KNOWN[case["id"]])
    world = World(case)
    variables = _value(case.get("variables") or {}, world)
    for declared in (case.get("flow") or {}).get("inputs", []):
        variables.setdefault("inputs", {})[declared["id"]] = declared["defaults"]
    world.variables = variables
    mode = case.get("mode") or "text"
    source = _value(case["expression"], world)
    for name, text in (case.get("let") or {}).items():
        source = source.replace("${" + name + "}", expr.render(text, variables, world))
    if (case.get("config") or {}).get("recursive_rendering"):
        source = "{{ render(source_) }}"
        variables["source_"] = case["expression"]

    if case.get("error"):
        with pytest.raises(UserError) as caught:
            expr.render(source, variables, world)
        assert case.get("error_contains", "").replace("${file}", world.file_uri) in str(caught.value)
        return
    value = expr.render(source, variables, world)
    if mode.startswith("property"):
        value = _converted(value, mode)
    _check(case, value, world)


def _check(case: dict[str, Any], value: Any, world: World) -> None:
    if "expected" in case:
        assert value == _dynamic(_value(case["expected"], world))
    for part in case.get("contains", []):
        assert _dynamic(part) in value
    assert str(value).startswith(case.get("starts_with", ""))
    assert str(value).endswith(case.get("ends_with", ""))
    if "not_equals" in case:
        assert value != case["not_equals"]
    if case.get("not_empty"):
        assert value
    if "int_between" in case:
        low, high = case["int_between"]
        assert low <= int(value) <= high
    for key, wanted in case.get("json", {}).items():
        assert json.loads(value)[key] == wanted
    for wanted in case.get("json_has_items", []):
        assert wanted in json.loads(value)
    if "json_size" in case:
        assert len(json.loads(value)) == case["json_size"]
    for index, order in enumerate(case.get("key_order", [])):
        assert list(value if index == 0 else value[order[0]]) == order[0 if index == 0 else 1 :]


def test_the_clock_is_read_from_the_host() -> None:
    world = World({})
    shown = expr.render("{{ now() }}", {}, world)
    assert abs(datetime.fromisoformat(shown) - datetime.now(UTC)) < timedelta(seconds=30)
