"""Resolving a whole set of inputs: in order of their dependencies, defaults rendered, every problem collected."""

from collections.abc import Mapping
from typing import Any

import msgspec

from levada import expr
from levada.engine.context import PureHost
from levada.engine.inputs import rules
from levada.engine.inputs.types import TypeMismatch, convert
from levada.expr import ExpressionError
from levada.model.errors import UserError
from levada.model.flow import Flow, Input

_KNOWN = frozenset({"id", "name", "type", "required", "defaults", "prefill", "dependsOn", "displayName", "description"})


class InvalidInput(msgspec.Struct, frozen=True):
    """One input that was refused. `path` is the input's id."""

    path: str
    message: str


class InvalidInputs(UserError):
    """Inputs were refused. The text is `id: message` for each, in Kestra's words."""

    def __init__(self, problems: list[InvalidInput]) -> None:
        super().__init__(", ".join(f"{problem.path}: {problem.message}" for problem in problems))
        self.problems = problems


def declared(raw: list[dict[str, Any]]) -> tuple[Input, ...]:
    """Read input declarations that are still plain data (Pause.onResume)."""
    return tuple(
        Input(
            id=str(entry.get("id") or entry.get("name")),
            type=str(entry.get("type", "STRING")).upper(),
            required=entry.get("required", True) not in (False, "false"),
            defaults=entry.get("defaults"),
            has_defaults="defaults" in entry,
            depends_on=entry.get("dependsOn"),
            properties={key: value for key, value in entry.items() if key not in _KNOWN},
        )
        for entry in raw
    )


def resolve(
    flow: Flow, values: Mapping[str, Any], *, now: int, seed: str, host: expr.Host | None = None
) -> dict[str, Any]:
    """Return the typed inputs of a flow as a tree (`a.b` is nested). Raises InvalidInputs."""
    variables = {"flow": {"id": flow.id, "namespace": flow.namespace}, "vars": flow.variables}
    return resolve_declared(flow.inputs, values, now=now, seed=seed, host=host, variables=variables)


def resolve_declared(
    inputs: tuple[Input, ...],
    values: Mapping[str, Any],
    *,
    now: int,
    seed: str,
    host: expr.Host | None = None,
    variables: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """As `resolve`, for any declarations. Values of inputs that are not declared are ignored."""
    resolver = _Resolver(values, dict(variables or {}), host or PureHost(now, seed))
    for declared_ in _in_order(inputs):
        resolver.add(declared_)
    if resolver.problems:
        raise InvalidInputs(resolver.problems)
    return resolver.tree


class _Resolver:
    def __init__(self, values: Mapping[str, Any], variables: dict[str, Any], host: expr.Host) -> None:
        self.values = values
        self.variables = variables
        self.host = host
        self.tree: dict[str, Any] = {}
        self.problems: list[InvalidInput] = []
        self.disabled: set[str] = set()

    def add(self, declared_: Input) -> None:
        if declared_.type.upper() == "FORM":
            for child in declared(declared_.properties.get("inputs") or []):
                self.add(msgspec.structs.replace(child, id=f"{declared_.id}.{child.id}"))
            return
        raw = _given(self.values, declared_.id)
        try:
            if not self._enabled(declared_):
                self.disabled.add(declared_.id)
                return
            if raw is None:
                raw = self._default(declared_)
            if raw is None:
                if declared_.required:
                    self._refuse(declared_, "missing required input", None)
                else:
                    _put(self.tree, declared_.id, None)
                return
            self._check(declared_, raw)
        except ExpressionError as e:
            self._refuse(declared_, str(e), raw)

    def _check(self, declared_: Input, raw: Any) -> None:
        try:
            value = convert(declared_.type, raw, declared_.properties.get("itemType"))
        except TypeMismatch as e:
            self._refuse(declared_, str(e), raw)
            return
        problem = rules.violation(declared_, value, self._allowed(declared_))
        if problem is not None:
            self._refuse(declared_, problem, raw)
            return
        _put(self.tree, declared_.id, value)

    def _render(self, value: Any) -> Any:
        return expr.render(value, {**self.variables, "inputs": self.tree}, self.host)

    def _enabled(self, declared_: Input) -> bool:
        depends = declared_.depends_on
        if not depends:
            return True
        if any(name in self.disabled for name in depends.get("inputs") or []):
            return False
        condition = depends.get("condition")
        return condition is None or expr.truthy(self._render(condition))

    def _default(self, declared_: Input) -> Any:
        if not declared_.has_defaults:
            allowed = self._allowed(declared_) if declared_.properties.get("autoSelectFirst") else None
            return allowed[0] if allowed else None
        return self._render(declared_.defaults)

    def _allowed(self, declared_: Input) -> list[Any] | None:
        if declared_.type.upper() not in ("SELECT", "MULTISELECT", "ENUM"):
            return None
        if declared_.properties.get("expression") is not None:
            found = expr.evaluate(
                declared_.properties["expression"], {**self.variables, "inputs": self.tree}, self.host
            )
            if isinstance(found, str):
                found = convert("MULTISELECT", found)
            return list(found)
        values = declared_.properties.get("values") or declared_.properties.get("options") or []
        return [value["value"] if isinstance(value, dict) and "value" in value else value for value in values]

    def _refuse(self, declared_: Input, why: str, raw: Any) -> None:
        shown = "null" if raw is None else raw if isinstance(raw, str) else msgspec.json.encode(raw).decode()
        if declared_.type.upper() == "SECRET" and raw is not None:
            shown = "******"
        if len(shown) > 500:
            shown = shown[:500] + "…"
        message = f"Invalid input for `{declared_.id}`, {why}, but received `{shown}`"
        self.problems.append(InvalidInput(path=declared_.id, message=message))


def _in_order(inputs: tuple[Input, ...]) -> list[Input]:
    """Inputs after those that they depend on; the order of the flow otherwise. Cycles are refused when a flow is saved."""
    by_id = {declared_.id: declared_ for declared_ in inputs}
    ordered: dict[str, Input] = {}

    def visit(declared_: Input, seen: frozenset[str]) -> None:
        if declared_.id in ordered or declared_.id in seen:
            return
        for name in (declared_.depends_on or {}).get("inputs") or []:
            if name in by_id:
                visit(by_id[name], seen | {declared_.id})
        ordered[declared_.id] = declared_

    for declared_ in inputs:
        visit(declared_, frozenset())
    return list(ordered.values())


def _given(values: Mapping[str, Any], id_: str) -> Any:
    """Return a value by its dotted id, given flat (`a.b`) or nested."""
    if id_ in values:
        return values[id_]
    node: Any = values
    for part in id_.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node


def _put(tree: dict[str, Any], id_: str, value: Any) -> None:
    *path, last = id_.split(".")
    for part in path:
        tree = tree.setdefault(part, {})
    tree[last] = value
