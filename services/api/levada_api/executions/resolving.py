"""Typing and checking the inputs of a start by the flow's declaration, with errors as a form needs them."""

from typing import Any

from levada import expr
from levada.engine import context, inputs
from levada.model.errors import UserError
from levada.model.flow import Flow, Input
from levada_api.context import Api


async def for_start(api: Api, flow: Flow, execution_id: str, values: dict[str, Any]) -> dict[str, Any] | None:
    """Return the inputs of the execution. Raises InvalidInputs with one finding per wrong input."""
    return api.starter.inputs(flow, execution_id, values)


async def report(api: Api, flow: Flow, execution_id: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return for every input its value and what is wrong with it, without refusing anything."""
    found: dict[str, str] = {}
    tree: dict[str, Any] = {}
    try:
        tree = inputs.resolve(flow, values, now=api.now(), seed=execution_id)
    except inputs.InvalidInputs as error:
        found = {problem.path: problem.message for problem in error.problems}
    host = context.PureHost(api.now(), execution_id)
    shown = []
    for declared in flow.inputs:
        entry: dict[str, Any] = {
            "input": _declaration(declared, {"vars": flow.variables, "inputs": tree}, host),
            "enabled": bool(found) or _has(tree, declared.id),
            "isDefault": declared.id not in values,
        }
        value = values.get(declared.id) if found else _at(tree, declared.id)
        if value is not None:
            entry["value"] = value
        if declared.id in found:
            entry["errors"] = [{"message": found[declared.id]}]
        shown.append(entry)
    return {"id": flow.id, "namespace": flow.namespace, "inputs": shown}


def _declaration(declared: Input, variables: dict[str, Any], host: context.PureHost) -> dict[str, Any]:
    """The input as written; what an `expression` lists are its values."""
    out: dict[str, Any] = {
        **declared.properties,
        "id": declared.id,
        "type": declared.type,
        "required": declared.required,
    }
    if declared.has_defaults:
        out["defaults"] = declared.defaults
    if declared.properties.get("expression") is not None:
        try:
            listed = expr.evaluate(declared.properties["expression"], variables, host)
            if isinstance(listed, str):
                listed = inputs.convert("MULTISELECT", listed)
            out["values"] = [str(each) for each in listed]
        except (UserError, TypeError):
            # The form shows the input without a choice; the start itself says what is wrong with the expression.
            out["values"] = []
    return out


def _has(tree: dict[str, Any], input_id: str) -> bool:
    node: Any = tree
    for part in input_id.split("."):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


def _at(tree: dict[str, Any], input_id: str) -> Any:
    node: Any = tree
    for part in input_id.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node
