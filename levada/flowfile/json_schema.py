"""JSON Schema of a flow, for editors: completion, hover texts and red lines while typing.

Draft 7, because that is what YAML editors read. Everything is derived: the properties of a type from its class, its texts
from the docstrings, so the schema cannot disagree with the validator. A type's own schema is chosen by `if`/`then` on
`type`. Every property may also be an expression. Results are cached per class and per registry and must not be changed.
"""

import inspect
from functools import lru_cache
from typing import Any, Final

import msgspec

from levada.flowfile import inputs, tasks, triggers
from levada.model import ids
from levada.model.flow import ConcurrencyBehavior, RetryBehavior
from levada.model.states import State
from levada.sdk import Condition, FlowableTask, Registry, Task, Trigger, canonical
from levada.sdk.registry import PREFIX, Declared

DIALECT: Final = "http://json-schema.org/draft-07/schema#"
Schema = dict[str, Any]

_EXPRESSION: Final[Schema] = {"type": "string", "pattern": r"\{\{|\{%"}
_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_DURATION: Final[Schema] = {"type": "string", "description": "ISO 8601 duration, such as PT30S, PT5M or P1DT12H"}
_LABELS: Final[Schema] = {
    "anyOf": [
        {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
        {"type": "array", "items": {"type": "object", "required": ["key", "value"]}},
    ]
}


def ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def list_of(name: str) -> Schema:
    return {"type": "array", "items": ref(name)}


_DYNAMIC_DURATION: Final[Schema] = {"anyOf": [_DURATION, _EXPRESSION]}
_TASK_COMMON: Final[dict[str, Schema]] = {
    "id": {"type": "string", "pattern": ids.TASK_ID.pattern, "maxLength": ids.TASK_ID_MAX},
    "type": _TEXT,
    "version": _TEXT,
    "description": _TEXT,
    "retry": ref("retry"),
    "timeout": _DYNAMIC_DURATION,
    "disabled": _FLAG,
    "runIf": {"type": ["string", "boolean"], "description": "The task is skipped unless this is true"},
    "when": {"type": ["string", "boolean"], "description": "The same as runIf"},
    "allowFailure": _FLAG,
    "allowWarning": _FLAG,
    "logLevel": {"enum": list(tasks.LEVELS)},
    "logToFile": _FLAG,
    "taskCache": {"type": "object", "properties": {"enabled": _FLAG, "ttl": _DURATION}, "required": ["enabled"]},
    "workerGroup": ref("workerGroup"),
    "workerSelector": ref("workerSelector"),
    "assets": {"type": "object"},
    "policyRefs": {"type": "array"},
    "pluginDefaultsRef": _TEXT,
    "onWorkerLost": {"enum": ["retry", "fail"], "description": "What happens when the worker dies: run again, or fail"},
}
_TRIGGER_COMMON: Final[dict[str, Schema]] = {
    **{
        name: _TASK_COMMON[name]
        for name in ("id", "type", "version", "description", "disabled", "logLevel", "logToFile")
    },
    **{
        name: _TASK_COMMON[name]
        for name in ("workerGroup", "workerSelector", "assets", "policyRefs", "pluginDefaultsRef")
    },
    "when": {"type": ["string", "boolean"], "description": "The trigger starts nothing unless this is true"},
    "conditions": list_of("condition"),
    "inputs": {"type": "object"},
    "labels": _LABELS,
    "stopAfter": {"type": "array", "items": {"enum": list(State)}},
    "failOnTriggerError": _FLAG,
    "allowConcurrent": _FLAG,
    "minLogLevel": {"enum": list(tasks.LEVELS)},
}
_CONDITION_COMMON: Final[dict[str, Schema]] = {"id": _TEXT, "type": _TEXT, "description": _TEXT}
assert _TASK_COMMON.keys() == tasks.COMMON | {"when"}
assert _TRIGGER_COMMON.keys() == triggers.COMMON

_RETRY: Final[Schema] = {
    "type": "object",
    "required": ["type"],
    "additionalProperties": False,
    "properties": {
        "type": {"enum": ["constant", "exponential", "random"]},
        **dict.fromkeys(("interval", "minInterval", "maxInterval", "maxDuration"), _DURATION),
        "delayFactor": {"type": "number", "minimum": 1},
        "maxAttempts": {"type": "integer", "minimum": 1},
        "maxAttempt": {"type": "integer", "minimum": 1},
        "warningOnRetry": _FLAG,
        "behavior": {"enum": list(RetryBehavior)},
    },
}
_INPUT_COMMON: Final[dict[str, Schema]] = {
    "id": {"type": "string", "pattern": ids.INPUT_ID.pattern},
    "name": _TEXT,
    "type": {"enum": list(inputs.TYPES)},
    "displayName": _TEXT,
    "description": _TEXT,
    "required": _FLAG,
    "defaults": {},
    "prefill": {},
    "dependsOn": {
        "type": "object",
        "properties": {"inputs": {"type": "array", "items": _TEXT}, "condition": _TEXT},
        "additionalProperties": False,
    },
}


@lru_cache(maxsize=8)
def flow(registry: Registry) -> Schema:
    """Return the schema of a whole flow."""
    definitions: Schema = {
        "retry": _RETRY,
        "input": _input(),
        "workerGroup": {
            "type": "object",
            "properties": {"key": _TEXT, "fallback": {"enum": ["WAIT", "FAIL", "CANCEL", "IGNORE"]}},
        },
        "workerSelector": {
            "type": "object",
            "properties": {
                "tags": {"type": "array", "items": _TEXT},
                "match": {"enum": ["ALL", "ANY"]},
                "fallback": {"enum": ["WAIT", "FAIL", "CANCEL", "IGNORE"]},
            },
        },
    }
    for kind, declared_as in (("task", Task), ("trigger", Trigger), ("condition", Condition)):
        types = [declared for declared in registry.all() if issubclass(declared, declared_as)]
        definitions[kind] = _choice(types)
        for declared in types:
            own = dict(of_type(declared))
            definitions.update(own.pop("definitions", {}))
            definitions[_full(declared)] = own
    return {
        "$schema": DIALECT,
        "title": "Flow",
        "type": "object",
        "required": ["id", "namespace", "tasks"],
        "additionalProperties": False,
        "properties": _flow_properties(),
        "definitions": definitions,
    }


def part(registry: Registry, kind: str) -> Schema:
    """Return the schema of one task, trigger, condition or input, with all definitions that it refers to."""
    whole = flow(registry)
    return {"$schema": DIALECT, **ref(kind), "definitions": whole["definitions"]}


def _full(declared: Declared) -> str:
    return PREFIX + canonical(declared.TYPE)


def _choice(types: list[Declared]) -> Schema:
    """Return the schema of anything with a `type`: each type's own schema applies where its name stands."""
    rules = []
    for declared in types:
        spelled = [_full(declared), canonical(declared.TYPE)]
        spelled += [PREFIX + alias if alias.startswith("core.") else alias for alias in declared.ALIASES]
        names = {"properties": {"type": {"enum": spelled}}, "required": ["type"]}
        rules.append({"if": names, "then": ref(_full(declared))})
    examples = [_full(declared) for declared in types if not declared.DEPRECATED]
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string", "examples": examples}},
        "allOf": rules,
    }


@lru_cache(maxsize=2048)
def of_type(declared: Declared) -> Schema:
    """Return the schema of one type: its own properties and those that all of its kind have."""
    name = _full(declared)
    (generated,), parts = msgspec.json.schema_components(
        [declared], ref_template=f"#/definitions/{name}-{{name}}", schema_hook=lambda _: {}
    )
    own = parts.pop(declared.__name__, generated)
    found: dict[str, Schema] = {key: _dynamic(_with_default(value)) for key, value in own.get("properties", {}).items()}
    common, required = _common(declared)
    branches = _branches(declared)
    out: Schema = {
        "title": canonical(declared.TYPE).rpartition(".")[2],
        "description": inspect.cleandoc(declared.__doc__ or ""),
        "type": "object",
        "required": [*required, *own.get("required", []), *(getattr(declared, "REQUIRED", ()) if branches else ())],
        "properties": {**common, **branches, **found},
        "additionalProperties": False,
    }
    if declared.DEPRECATED:
        out["$deprecated"] = True
    if parts:
        out["definitions"] = {f"{name}-{key}": _part(value) for key, value in parts.items()}
    return out


def _common(declared: Declared) -> tuple[dict[str, Schema], list[str]]:
    if issubclass(declared, Task):
        return _TASK_COMMON, ["id", "type"]
    if issubclass(declared, Trigger):
        return _TRIGGER_COMMON, ["id", "type"]
    return _CONDITION_COMMON, ["type"]


def _branches(declared: Declared) -> dict[str, Schema]:
    """Return the properties that hold tasks."""
    if not issubclass(declared, FlowableTask):
        return {}
    out: dict[str, Schema] = {branch: {"type": ["array", "null"], "items": ref("task")} for branch in declared.BRANCHES}
    if declared.DAG:
        item = {"task": ref("task"), "dependsOn": {"type": "array", "items": _TEXT}}
        out["tasks"] = {
            "type": "array",
            "items": {"type": "object", "properties": item, "required": ["task"], "additionalProperties": False},
        }
    if declared.CASES is not None:
        out[declared.CASES] = {"type": "object", "additionalProperties": list_of("task")}
    out.update({branch: ref("task") for branch in declared.SINGLE})
    return out


def _part(schema: Schema) -> Schema:
    """Every property of an object inside a property may be an expression as well."""
    if "properties" not in schema:
        return schema
    return {
        **schema,
        "properties": {key: _dynamic(_with_default(value)) for key, value in schema["properties"].items()},
    }


def _with_default(schema: Schema) -> Schema:
    """A default of null says nothing to an author."""
    return {key: value for key, value in schema.items() if not (key == "default" and value is None)}


def _dynamic(schema: Schema) -> Schema:
    if not schema or (schema.get("type") == "string" and not schema.keys() & {"format", "pattern", "enum"}):
        return schema
    outer: Schema = {key: schema[key] for key in ("default", "description", "title") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in outer}
    options = [*inner["anyOf"], _EXPRESSION] if set(inner) == {"anyOf"} else [inner, _EXPRESSION]
    return {**outer, "anyOf": options}


def _input() -> Schema:
    """Return the schema of an input: which properties it may have depends on its type."""
    rules = []
    for kind, own in inputs.TYPES.items():
        extra: Schema = {name: {} for name in own}
        if kind == "FORM":
            extra["inputs"] = list_of("input")
        rules.append(
            {
                "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
                "then": {"properties": {**_INPUT_COMMON, **extra}, "additionalProperties": False},
            }
        )
    return {"type": "object", "required": ["type"], "properties": _INPUT_COMMON, "allOf": rules}


def _flow_properties() -> dict[str, Schema]:
    output = {
        "id": {"type": "string", "pattern": ids.INPUT_ID.pattern},
        "type": {"enum": list(inputs.TYPES)},
        "value": {},
        **dict.fromkeys(("displayName", "description"), _TEXT),
        "required": _FLAG,
    }
    return {
        "id": {"type": "string", "pattern": ids.FLOW_ID.pattern, "maxLength": ids.FLOW_ID_MAX},
        "namespace": {"type": "string", "pattern": ids.NAMESPACE.pattern, "maxLength": ids.NAMESPACE_MAX},
        "revision": {"type": "integer", "minimum": 1},
        "description": _TEXT,
        **dict.fromkeys(("disabled", "draft", "deleted"), _FLAG),
        "labels": _LABELS,
        "inputs": list_of("input"),
        "outputs": {"type": "array", "items": {"type": "object", "properties": output, "required": ["id", "value"]}},
        "variables": {"type": "object"},
        "tasks": {**list_of("task"), "minItems": 1},
        **{name: list_of("task") for name in ("errors", "finally", "afterExecution")},
        "triggers": list_of("trigger"),
        "listeners": {"type": "array", "items": {"type": "object", "properties": _listener()}},
        "concurrency": {
            "type": "object",
            "properties": {"limit": {"type": "integer", "minimum": 1}, "behavior": {"enum": list(ConcurrencyBehavior)}},
            "required": ["limit"],
        },
        "retry": ref("retry"),
        "sla": {"type": "array", "items": {"type": "object", "required": ["id", "type", "behavior"]}},
        "checks": {"type": "array", "items": {"type": "object", "required": ["message"]}},
        **{name: {"type": "array", "items": _PLUGIN_DEFAULT} for name in ("pluginDefaults", "taskDefaults")},
        "workerGroup": ref("workerGroup"),
        "workerSelector": ref("workerSelector"),
        **{name: {} for name in ("updated", "created", "tenantId", "source", "policyRefs")},
    }


def _listener() -> dict[str, Schema]:
    return {"tasks": list_of("task"), "conditions": list_of("condition"), "description": _TEXT}


_PLUGIN_DEFAULT: Final[Schema] = {
    "type": "object",
    "required": ["type", "values"],
    "properties": {"type": _TEXT, "values": {"type": "object"}, "forced": _FLAG, "ref": _TEXT},
    "additionalProperties": False,
}
