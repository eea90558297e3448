"""pluginDefaults: values that a flow, or the server's configuration, gives to all plugins of a type.

They are merged into the data before it is read, so a `model.Task` has its final properties. A default is meant for a class
(under any of its names) or for a package prefix. What is written at the task wins over a default, unless the default is
`forced`; a longer prefix wins over a shorter one, the flow's over the server's. Maps merge, lists are joined.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from levada.flowfile import properties
from levada.flowfile.node import Node
from levada.sdk import Registry, canonical
from levada.sdk.registry import PREFIX

#: Parts of a flow in which plugins stand.
_SECTIONS = ("tasks", "errors", "finally", "afterExecution", "triggers", "listeners")
_NEVER = frozenset({"id", "type"})


class Default(msgspec.Struct, frozen=True):
    """One entry: `type` is a class name or a prefix of class names."""

    type: str
    values: dict[str, Any]
    forced: bool = False


def read(node: Node, registry: Registry) -> tuple[Default, ...]:
    """Read `pluginDefaults` and its old name `taskDefaults`; what is wrong is reported."""
    out = []
    for name in ("pluginDefaults", "taskDefaults"):
        if name == "taskDefaults" and node.data.get(name) is not None:
            node.report.deprecate(node.at(name))
        for item in node.nodes(name):
            entry = _entry(item, registry)
            if entry is not None:
                out.append(entry)
    return tuple(out)


def _entry(node: Node, registry: Registry) -> Default | None:
    kind = node.text("type", required=True)
    values = node.mapping("values") if node.required("values") else {}
    forced = node.flag("forced")
    node.known(("ref",))
    node.finish("a plugin default")
    for name, value in values.items():
        if value is None:
            node.report.error((*node.at("values"), name), "must not be null")
    if kind is None:
        return None
    declared = registry.find(kind)
    if declared is not None:
        known = properties.fields_of(declared)
        partial = {name: value for name, value in values.items() if name in known}
        others = frozenset(known) - frozenset(partial)
        properties.check(partial, declared, node.at("values"), node.report, skip=others, of=canonical(declared.TYPE))
    return Default(kind, values, forced)


def apply(
    data: dict[str, Any], flow: Sequence[Default], server: Sequence[Default], registry: Registry
) -> dict[str, Any]:
    """Return the flow's data with all defaults merged in; `data` itself is left as it is."""
    if not flow and not server:
        return data
    merger = _Merger(flow, server, registry)
    out = dict(data)
    for section in _SECTIONS:
        if isinstance(out.get(section), list):
            out[section] = merger.walk(out[section])
    return out


class _Merger:
    def __init__(self, flow: Sequence[Default], server: Sequence[Default], registry: Registry) -> None:
        self._registry = registry
        self._flow = flow
        self._server = server

    def walk(self, value: Any) -> Any:
        """Merge defaults into every typed map; values that come from a default get none themselves."""
        if isinstance(value, list):
            return [self.walk(item) for item in value]
        if not isinstance(value, dict):
            return value
        walked = {key: self.walk(item) for key, item in value.items()}
        kind = walked.get("type")
        if not isinstance(kind, str) or "." not in kind:
            return walked
        return self._merged(walked, kind)

    def _merged(self, value: dict[str, Any], kind: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for default in (*self._matching(self._server, kind, False), *self._matching(self._flow, kind, False)):
            out = _merge(out, default.values)
        out = _merge(out, value)
        for default in (*self._matching(self._server, kind, True), *self._matching(self._flow, kind, True)):
            out = _merge(out, default.values)
        return {**out, **{key: value[key] for key in _NEVER if key in value}}

    def _matching(self, defaults: Sequence[Default], kind: str, forced: bool) -> list[Default]:
        """Return the defaults for a type, the least specific first."""
        found = [one for one in defaults if one.forced is forced and self._matches(one.type, kind)]
        return sorted(found, key=lambda one: len(canonical(one.type)))

    def _matches(self, wanted: str, kind: str) -> bool:
        declared = self._registry.find(kind)
        name = canonical(kind if declared is None else declared.TYPE)
        if declared is not None and self._registry.find(wanted) is declared:
            return True
        if self._registry.find(wanted) is not None:
            return False
        prefix = wanted.rstrip(".")
        spellings = {name, PREFIX + name, kind}
        return any(spelling == prefix or spelling.startswith(prefix + ".") for spelling in spellings)


def _merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    out = dict(low)
    for key, value in high.items():
        below = out.get(key)
        if value is None:
            continue
        if isinstance(below, dict) and isinstance(value, dict):
            out[key] = _merge(below, value)
        elif isinstance(below, list) and isinstance(value, list):
            out[key] = [*below, *value]
        else:
            out[key] = value
    return out
