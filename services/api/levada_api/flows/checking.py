"""Checking without saving: the answer is always 200 and says per document what is wrong with it."""

from typing import Any

import msgspec
from aiohttp import web

from levada.flowfile import InvalidFlow
from levada_api import errors
from levada_api.call import Call, json
from levada_api.flows import saving

SECTIONS = {"task": "tasks", "trigger": "triggers"}


async def validate(call: Call) -> web.Response:
    """POST /flows/validate: one violation object per document, in their order."""
    text = await call.text()
    parts = saving.documents(text) or [""]
    return json([await violation(call, source, index) for index, source in enumerate(parts)])


async def violation(call: Call, source: str, index: int) -> dict[str, Any]:
    out: dict[str, Any] = {"index": index}
    data = saving.data_of(source)
    if isinstance(data, dict):
        out.update({name: data[key] for name, key in (("flow", "id"), ("namespace", "namespace")) if data.get(key)})
    out["outdated"] = await _outdated(call, data)
    try:
        parsed = saving.checked(call, source)
    except InvalidFlow as error:
        out["constraints"] = constraints(error)
        return out
    findings = (("warnings", parsed.warnings), ("deprecationPaths", parsed.deprecations), ("infos", parsed.infos))
    out.update({name: list(found) for name, found in findings if found})
    return out


def constraints(error: InvalidFlow) -> str:
    return "\n".join(problem.described() for problem in error.problems)


async def _outdated(call: Call, data: Any) -> bool:
    """Whether the source names a revision that is not the next one."""
    if not isinstance(data, dict) or not isinstance(data.get("revision"), int):
        return False
    namespace, flow_id = data.get("namespace"), data.get("id")
    if not isinstance(namespace, str) or not isinstance(flow_id, str):
        return False
    row = await call.api.platform.flows.get(call.tenant, namespace, flow_id)
    return row is not None and bool(data["revision"] != row.revision + 1)


def of_part(kind: str) -> Any:
    """Return the handler of /flows/validate/task or /trigger: one element, checked inside an otherwise empty flow."""

    async def handler(call: Call) -> web.Response:
        section = call.arg("section")
        name = section.lower() if section and section.lower() in SECTIONS.values() else SECTIONS[kind]
        data = saving.data_of(await call.text())
        if not isinstance(data, dict):
            raise errors.unprocessable(f"the body must be a {kind}, as YAML or JSON")
        flow: dict[str, Any] = {"id": "check", "namespace": "check"}
        if name != "tasks":
            flow["tasks"] = [{"id": "log", "type": "io.kestra.plugin.core.log.Log", "message": "check"}]
        flow[name] = [data]
        source = msgspec.json.encode(flow).decode()
        out = await violation(call, source, 0)
        for key in ("flow", "namespace"):
            out.pop(key, None)
        if "constraints" in out:
            out["constraints"] = out["constraints"].replace(f"{name}[0].", "")
        return json(out)

    handler.__name__ = f"validate_{kind}"
    return handler
