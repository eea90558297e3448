"""Triggers and their conditions: from YAML to `model.Trigger`.

Conditions stay in the properties as they are written, but with the canonical name of their type, so that whoever evaluates
them needs no table of old names. Both dialects are read: `conditions` and `preconditions` of 1.x, `when`, `dependsOn` and
`window` of 2.0 (their shapes are fields of the trigger's class).
"""

from typing import Any, Final

from levada.flowfile import labels, limits, properties
from levada.flowfile.loader import Path
from levada.flowfile.node import Node, kind_of
from levada.flowfile.tasks import LEVELS, Reading, deprecated_properties, resolve
from levada.model import flow as model
from levada.model import ids
from levada.model.states import State

COMMON: Final = frozenset(
    {
        "id",
        "type",
        "version",
        "description",
        "disabled",
        "when",
        "conditions",
        "inputs",
        "labels",
        "stopAfter",
        "failOnTriggerError",
        "allowConcurrent",
        "logLevel",
        "logToFile",
        "minLogLevel",
        "workerGroup",
        "workerSelector",
        "assets",
        "policyRefs",
        "pluginDefaultsRef",
    }
)
#: What `model.Trigger` has as fields of its own; the rest goes to its properties.
_FIELDS = frozenset({"id", "type", "description", "disabled", "inputs", "labels"})
#: Properties that polling triggers have and these have not, with Kestra's message.
_NO_INTERVAL = frozenset({"core.trigger.Schedule", "core.trigger.Flow", "core.trigger.Webhook"})
_CONDITION_LISTS = ("conditions", "scheduleConditions")


def read(node: Node, reading: Reading) -> tuple[model.Trigger, ...]:
    """Read the list of triggers of a flow."""
    out = []
    for item in node.nodes("triggers"):
        trigger = read_one(item, reading)
        if trigger is not None:
            out.append(trigger)
    return tuple(out)


def read_one(node: Node, reading: Reading) -> model.Trigger | None:
    """Read one trigger; None if its type is not known."""
    identity = limits.identifier(node, ids.TASK_ID, ids.TASK_ID_MAX, of="a trigger")
    resolved = resolve(node, reading, "trigger")
    if resolved is None:
        return None
    name, declared = resolved
    skip = COMMON | set(_CONDITION_LISTS)
    if name in _NO_INTERVAL and node.get("interval") is not None:
        node.error("interval", "must be null; this trigger is not polled")
        skip |= {"interval"}
    if declared is not None:
        properties.check(node.data, declared, node.path, reading.report, skip=skip, of=name)
        deprecated_properties(node, declared)
    values = {key: value for key, value in node.data.items() if key not in _FIELDS and value is not None}
    for key in _CONDITION_LISTS:
        if key in values:
            values[key] = read_conditions(node.sequence(key), node.at(key), reading)
    _check_common(node)
    trigger = model.Trigger(
        id=identity,
        type=name,
        properties=values,
        disabled=node.flag("disabled"),
        inputs=node.mapping("inputs"),
        labels=labels.read(node.get("labels"), node.at("labels"), reading.report),
        description=node.text("description"),
    )
    reading.triggers.append((trigger, node.path))
    return trigger


def _check_common(node: Node) -> None:
    for name in ("failOnTriggerError", "allowConcurrent", "logToFile"):
        node.flag(name)
    node.choice("logLevel", LEVELS)
    if node.get("minLogLevel") is not None:
        node.report.deprecate(node.at("minLogLevel"))
    when = node.get("when")
    if not isinstance(when, str | bool | None):
        node.error("when", f"must be a text, but is {kind_of(when)}")
    for index, state in enumerate(node.sequence("stopAfter")):
        if state not in list(State):
            node.report.error((*node.at("stopAfter"), index), f"`{state}` is not a state; the states are {_states()}")


def _states() -> str:
    return ", ".join(State)


def read_conditions(items: list[Any], path: Path, reading: Reading) -> list[dict[str, Any]]:
    """Return the conditions with canonical type names; nested ones too."""
    out = []
    for index, item in enumerate(items):
        condition = _condition(item, (*path, index), reading)
        if condition is not None:
            out.append(condition)
    return out


def _condition(item: Any, path: Path, reading: Reading) -> dict[str, Any] | None:
    if not isinstance(item, dict):
        reading.report.error(path, f"must be a condition, but is {kind_of(item)}")
        return None
    node = Node(item, path, reading.report)
    resolved = resolve(node, reading, "condition")
    if resolved is None:
        return None
    name, declared = resolved
    own = frozenset(properties.fields_of(declared)) if declared is not None else frozenset()
    skip = frozenset({"id", "type", "conditions", "description", "disabled"} - (own & {"id"}))
    if declared is not None:
        properties.check(item, declared, path, reading.report, skip=skip, of=name)
    out = {**{key: value for key, value in item.items() if value is not None}, "type": name}
    nested = node.get("conditions")
    if isinstance(nested, dict):
        at = node.at("conditions")
        read = {key: _condition(one, (*at, key), reading) for key, one in nested.items()}
        out["conditions"] = {key: one for key, one in read.items() if one is not None}
    elif nested is not None:
        out["conditions"] = read_conditions(node.sequence("conditions"), node.at("conditions"), reading)
    if "conditions" in own and not nested:
        node.error("conditions", "must not be empty")
    return out
