"""Checking without saving: the answer is always 200 and says per document what is wrong with it."""

from typing import Any

import msgspec
from aiohttp import web

from levada.flowfile import Verdict, judge
from levada_api import errors
from levada_api.call import Call, json
from levada_api.flows import saving

SECTIONS = {"task": "tasks", "trigger": "triggers"}


async def validate(call: Call) -> web.Response:
    """POST /flows/validate: one violation object per document, in their order."""
    return json([verdict.answer() for verdict in await judged(call, await call.text())])


async def judged(call: Call, text: str) -> list[Verdict]:
    """Judge every document of a text; a stored flow tells which revision would be the next."""
    known: dict[tuple[str, str], int] = {}
    for source in saving.parts(text):
        data = saving.data_of(source)
        name = (data.get("namespace"), data.get("id")) if isinstance(data, dict) else (None, None)
        if isinstance(name[0], str) and isinstance(name[1], str):
            row = await call.api.platform.flows.get(call.tenant, name[0], name[1])
            if row is not None:
                known[name[0], name[1]] = row.revision
    return judge(text, call.api.registry, tenant=call.tenant, last=lambda namespace, flow: known.get((namespace, flow)))


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
        out = (await judged(call, msgspec.json.encode(flow).decode()))[0].answer()
        for key in ("flow", "namespace"):
            out.pop(key, None)
        if "constraints" in out:
            out["constraints"] = out["constraints"].replace(f"{name}[0].", "")
        return json(out)

    handler.__name__ = f"validate_{kind}"
    return handler
