"""Inputs and outputs of a flow, and the inputs that a Pause asks for.

Which properties an input may have depends on its type; `TYPES` is that table. A FORM is a group: its children are checked
like other inputs and stay in its properties as they are written.
"""

from typing import Any, Final

from levada.engine.inputs import types
from levada.expr import patterns
from levada.expr.errors import ExpressionError
from levada.flowfile.limits import identifier
from levada.flowfile.loader import Path
from levada.flowfile.node import Node, is_dynamic, kind_of
from levada.flowfile.problems import Report, nearest
from levada.model import flow as model
from levada.model import ids

_OPTIONS = ("values", "expression", "allowCustomValue", "autoSelectFirst")
#: Input type -> the properties that only it has.
TYPES: Final[dict[str, tuple[str, ...]]] = {
    "STRING": ("validator",),
    "SECRET": ("validator",),
    "INT": ("min", "max"),
    "FLOAT": ("min", "max"),
    "BOOL": (),
    "BOOLEAN": (),
    "SELECT": (*_OPTIONS, "isRadio"),
    "ENUM": ("values",),
    "MULTISELECT": (*_OPTIONS, "itemType", "options"),
    "ARRAY": ("itemType",),
    "DATE": ("after", "before"),
    "TIME": ("after", "before"),
    "DATETIME": ("after", "before"),
    "DURATION": ("min", "max"),
    "FILE": ("allowedFileExtensions", "extension"),
    "JSON": ("jsonSchema",),
    "YAML": (),
    "URI": (),
    "EMAIL": (),
    "FORM": ("inputs",),
    "REUSABLE_INPUTS": ("ref", "namespace", "revision"),
}
_COMMON = ("id", "name", "type", "displayName", "description", "required", "defaults", "prefill", "dependsOn")
_DEPRECATED = ("name", "extension", "options")
_ID_MAX = 256
_CHECKED_DEFAULTS: Final = frozenset({"INT", "FLOAT", "BOOL", "BOOLEAN", "DATE", "TIME", "DATETIME", "DURATION"})


def read(items: list[Any], path: Path, report: Report) -> tuple[model.Input, ...]:
    """Read a list of inputs; what cannot be read is reported and left out."""
    out = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            report.error((*path, index), f"must be an input, but is {kind_of(item)}")
            continue
        one = _read_one(Node(item, (*path, index), report))
        if one is not None:
            out.append(one)
    return tuple(out)


def _read_one(node: Node) -> model.Input | None:
    kind = node.get("type")
    if isinstance(kind, str) and kind.upper() in TYPES:
        kind = kind.upper()
    name = node.text("name")
    node.known(("id",))
    if node.data.get("id") is None and name is not None:
        identity = name
    else:
        identity = identifier(node, ids.INPUT_ID, _ID_MAX, of="an input")
    if not isinstance(kind, str) or kind not in TYPES:
        shown = kind if isinstance(kind, str) else "null"
        hint = nearest(shown, TYPES) if kind else "; an input needs a type such as STRING, INT or FILE"
        node.report.error(node.at("type") if kind else node.path, f"Invalid type: {shown}{hint}")
        return None
    for property_name in _DEPRECATED:
        if property_name in node.data:
            node.report.deprecate(node.at(property_name))
    return _build(node, identity, kind)


def _check_form(node: Node) -> None:
    """Check the children of a FORM as inputs of their own; they stay in its properties as written."""
    items = node.sequence("inputs")
    if not items:
        node.error("inputs", "must not be empty")
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("type") in ("FORM", "REUSABLE_INPUTS"):
            node.report.error((*node.at("inputs"), index, "type"), f"a {item['type']} cannot stand inside a FORM")
    read([item for item in items if isinstance(item, dict)], node.at("inputs"), node.report)


def _build(node: Node, identity: str, kind: str) -> model.Input:
    properties = {name: node.get(name) for name in TYPES[kind] if node.get(name) is not None}
    _check_properties(node, identity, kind, properties)
    _check_default(node, kind)
    defaults = node.get("defaults")
    built = model.Input(
        id=identity,
        type=kind,
        required=node.flag("required", True),
        defaults=defaults,
        has_defaults=defaults is not None,
        prefill=node.get("prefill"),
        depends_on=_depends_on(node),
        display_name=node.text("displayName"),
        description=node.text("description"),
        properties=properties,
    )
    node.finish(f"an input of type {kind}")
    return built


def _depends_on(node: Node) -> dict[str, Any] | None:
    if node.get("dependsOn") is None:
        return None
    inner = Node(node.get("dependsOn"), node.at("dependsOn"), node.report)
    names = inner.sequence("inputs")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            node.report.error((*inner.at("inputs"), index), f"must be the id of an input, but is {kind_of(name)}")
    condition = inner.text("condition")
    inner.finish("dependsOn")
    out: dict[str, Any] = {"inputs": [name for name in names if isinstance(name, str)]}
    if condition is not None:
        out["condition"] = condition
    return out


def _check_properties(node: Node, identity: str, kind: str, properties: dict[str, Any]) -> None:
    if node.get("defaults") is not None and node.get("prefill") is not None:
        node.error("prefill", "an input has either `defaults` or `prefill`, not both")
    match kind:
        case "FILE":
            _check_file_default(node, identity)
        case "ARRAY":
            node.required("itemType")
            _check_item_type(node, identity)
        case "MULTISELECT":
            _check_item_type(node, identity)
            _check_options(node, properties)
        case "SELECT":
            _check_options(node, properties)
        case "ENUM":
            if node.required("values"):
                node.sequence("values")
        case "FORM":
            _check_form(node)
        case "REUSABLE_INPUTS":
            node.required("ref")
        case "INT" | "FLOAT":
            for name, value in properties.items():
                if isinstance(value, bool) or not isinstance(value, int | float):
                    node.error(name, f"must be a number, but is {kind_of(value)}")
        case "DURATION":
            for name in properties:
                node.duration(name)
        case "STRING" | "SECRET":
            _check_pattern(node)
        case "DATE" | "TIME" | "DATETIME":
            for name in properties:
                node.text(name)
        case _:
            return


def _check_file_default(node: Node, identity: str) -> None:
    """A file's default names a stored file; anything else cannot become one."""
    value = node.get("defaults")
    if value is None or (isinstance(value, str) and (is_dynamic(value) or "://" in value)):
        return
    node.error(
        "defaults", f"{identity}: no `defaults` can be set for inputs of type 'FILE', except nsfile:/// or other URIs"
    )


def _check_pattern(node: Node) -> None:
    """A validator must be a regular expression; one that only a backtracking engine knows can never be applied."""
    pattern = node.text("validator")
    if pattern is None:
        return
    try:
        patterns.search("", pattern)
    except ExpressionError as problem:
        node.error("validator", f"invalid pattern [{pattern[:80]}]: {problem.message}")


def _check_default(node: Node, kind: str) -> None:
    """A default that is no expression must have the input's type."""
    value = node.get("defaults")
    if value is None or kind not in _CHECKED_DEFAULTS or (isinstance(value, str) and is_dynamic(value)):
        return
    try:
        types.convert(kind, value)
    except types.TypeMismatch as problem:
        node.error("defaults", str(problem))


def _check_item_type(node: Node, identity: str) -> None:
    kind = node.get("itemType")
    if kind is None:
        return
    if kind == "ARRAY":
        node.error("itemType", f"{identity}: `itemType` cannot be `ARRAY`")
    elif not isinstance(kind, str) or kind not in TYPES:
        node.error("itemType", f"Invalid type: {kind}{nearest(str(kind), TYPES)}")


def _check_options(node: Node, properties: dict[str, Any]) -> None:
    given = [name for name in ("values", "options", "expression") if properties.get(name) is not None]
    if not given:
        node.error("values", "must not be null; a selection needs `values` or an `expression`")
    elif "expression" in given and len(given) > 1:
        node.error("expression", "a selection has either `values` or an `expression`, not both")
    for name in ("values", "options"):
        if name in properties and not (isinstance(properties[name], str) and is_dynamic(properties[name])):
            node.sequence(name)


def outputs(node: Node) -> tuple[model.Output, ...]:
    """Read the outputs of a flow."""
    out = []
    for item in node.nodes("outputs"):
        identity = identifier(item, ids.INPUT_ID, _ID_MAX, of="an output")
        kind = item.text("type")
        if kind is not None and kind not in TYPES:
            item.error("type", f"Invalid type: {kind}{nearest(kind, TYPES)}")
        item.required("value")
        out.append(
            model.Output(
                id=identity,
                type=kind,
                value=item.get("value"),
                required=item.flag("required", True),
                display_name=item.text("displayName"),
                description=item.text("description"),
            )
        )
        item.known(("itemType",))
        item.finish("an output")
    return tuple(out)
