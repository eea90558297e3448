"""Typing and checking the inputs of a start by the flow's declaration, with errors as a form needs them."""

from typing import Any

from levada.engine import inputs
from levada.model.flow import Flow
from levada_api.context import Api


async def for_start(api: Api, flow: Flow, execution_id: str, values: dict[str, Any]) -> dict[str, Any] | None:
    """Return the inputs of the execution. Raises InvalidInputs with one finding per wrong input."""
    if not flow.inputs:
        return None
    return inputs.resolve(flow, values, now=api.now(), seed=execution_id)


async def report(api: Api, flow: Flow, execution_id: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return for every input its value and what is wrong with it, without refusing anything."""
    found: dict[str, str] = {}
    tree: dict[str, Any] = {}
    try:
        tree = inputs.resolve(flow, values, now=api.now(), seed=execution_id)
    except inputs.InvalidInputs as error:
        found = {problem.path: problem.message for problem in error.problems}
    shown = []
    for declared in flow.inputs:
        entry: dict[str, Any] = {
            "input": {"id": declared.id, "type": declared.type, "required": declared.required},
            "enabled": found.get(declared.id) is not None or _has(tree, declared.id) or bool(found),
            "isDefault": declared.id not in values,
        }
        value = _at(tree, declared.id) if not found else values.get(declared.id)
        if value is not None:
            entry["value"] = value
        if declared.id in found:
            entry["errors"] = [{"message": found[declared.id]}]
        shown.append(entry)
    return {"id": flow.id, "namespace": flow.namespace, "inputs": shown}


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
