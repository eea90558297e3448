"""Flows: the YAML data as written, plus what the store knows of the revision.

Clients read properties of tasks at the level of the task, exactly as in the file, so nothing is normalised here; only the
labels change their shape (an array everywhere) and required members are filled in.
"""

from collections.abc import Mapping
from typing import Any

from levada.store.port import FlowRow
from levada_api.render.execution import labels
from levada_api.render.times import date

#: What a viewer of an execution needs of a task: its place, no properties.
_KEPT = ("id", "type", "inputs")
_BRANCHES = ("tasks", "then", "else", "errors", "finally", "defaults", "afterExecution")


def flow(row: FlowRow, data: Any, *, source: bool = False) -> dict[str, Any]:
    """`data` is the parsed source (anything else than a map counts as nothing)."""
    out: dict[str, Any] = (
        {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else {}
    )
    out.update(
        {
            "tenantId": row.tenant,
            "id": row.id,
            "namespace": row.namespace,
            "revision": row.revision,
            "disabled": row.disabled,
            "deleted": row.deleted,
            "draft": row.draft,
            "updated": date(row.updated),
        }
    )
    out.setdefault("tasks", [])
    if "labels" in out:
        out["labels"] = _labels(out["labels"])
    if source:
        out["source"] = row.source
    else:
        out.pop("source", None)
    return out


def _labels(given: Any) -> Any:
    if isinstance(given, Mapping):
        return labels([(str(key), str(value)) for key, value in given.items()])
    return given


def for_execution(shown: dict[str, Any]) -> dict[str, Any]:
    """Cut a flow to what a viewer of its executions needs: tasks keep their id, type and children."""
    out = dict(shown)
    for name in ("tasks", "errors", "finally", "afterExecution"):
        if isinstance(out.get(name), list):
            out[name] = [_cut(task) for task in out[name]]
    return out


def _cut(task: Any) -> Any:
    if not isinstance(task, dict):
        return task
    out = {key: task[key] for key in _KEPT if key in task}
    for name in _BRANCHES:
        if isinstance(task.get(name), list):
            out[name] = [_cut(child) for child in task[name]]
    if isinstance(task.get("cases"), dict):
        out["cases"] = {
            case: [_cut(child) for child in children] if isinstance(children, list) else children
            for case, children in task["cases"].items()
        }
    if str(task.get("type", "")).endswith("flow.Dag") and isinstance(task.get("tasks"), list):
        out["tasks"] = [
            {**entry, "task": _cut(entry["task"])} if isinstance(entry, dict) and "task" in entry else _cut(entry)
            for entry in task["tasks"]
        ]
    if str(task.get("type", "")).endswith("flow.Subflow") and "flowId" in task:
        out["subflowId"] = {"namespace": task.get("namespace"), "flowId": task["flowId"]}
    return out
