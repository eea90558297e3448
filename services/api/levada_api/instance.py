"""What concerns the whole server: configuration for clients, plugins, the expression language, a ping."""

import inspect
from importlib.metadata import version
from typing import Any

from aiohttp import web

from levada import expr
from levada.flowfile import json_schema
from levada.sdk.registry import Declared
from levada.sdk.task import Condition, Trigger
from levada_api import errors
from levada_api.call import Call, json
from levada_api.render.execution import full_type

#: The version of Kestra whose API this is: clients choose their dialect by it. Ours is `levadaVersion`.
API_VERSION = "1.3.31"
VERSION = version("levada")


async def ping(call: Call) -> web.Response:
    return web.Response(text="pong", content_type="application/json")


async def configs(call: Call) -> web.Response:
    environment = call.api.config.environment
    out: dict[str, Any] = {
        "version": API_VERSION,
        "levadaVersion": VERSION,
        "edition": "OSS",
        "product": "Levada",
        "url": call.api.address(),
        "isTaskRunEnabled": False,
        "isAnonymousUsageEnabled": False,
        "isTemplateEnabled": False,
        "isCustomDashboardsEnabled": False,
        "isBasicAuthEnabled": call.api.gate.locked,
        "isBasicAuthInitialized": call.api.gate.locked,
        "isConcurrencyViewEnabled": True,
        "isAiEnabled": False,
        "preview": {"initial": 100, "max": 5000},
        "systemNamespace": "system",
        "hiddenLabelsPrefixes": ["system."],
        "pluginsHash": len(call.api.registry.all()),
    }
    shown = {key: value for key, value in (("name", environment.name), ("color", environment.color)) if value}
    if shown:
        out["environment"] = shown
    return json(out)


def group_of(declared: Declared) -> str:
    """`core.http.Request` is of group `core`, `jdbc.postgresql.Query` of `jdbc.postgresql`."""
    parts = declared.TYPE.split(".")
    return parts[0] if parts[0] == "core" else ".".join(parts[:-1])


async def plugins(call: Call) -> web.Response:
    """One entry per group, with the classes of each kind."""
    groups: dict[str, dict[str, Any]] = {}
    for declared in call.api.registry.all():
        name = group_of(declared)
        group = groups.setdefault(
            name,
            {
                "name": name,
                "title": name,
                "group": full_type(name),
                "version": VERSION,
                "manifest": {},
                "tasks": [],
                "triggers": [],
                "conditions": [],
                "taskRunners": [],
                "storages": [],
                "secrets": [],
                "guides": [],
                "aliases": [],
            },
        )
        group[kind_of(declared)].append(
            {"cls": full_type(declared.TYPE), "deprecated": declared.DEPRECATED, "title": summary(declared)}
        )
        group["aliases"].extend(full_type(alias) for alias in declared.ALIASES)
    return json(list(groups.values()))


def kind_of(declared: Declared) -> str:
    if issubclass(declared, Trigger):
        return "triggers"
    return "conditions" if issubclass(declared, Condition) else "tasks"


def summary(declared: Declared) -> str:
    """The first paragraph of the class's own documentation."""
    return (inspect.cleandoc(declared.__doc__ or "")).partition("\n\n")[0].replace("\n", " ")


async def plugin(call: Call) -> web.Response:
    """GET /plugins/{cls}: documentation and schema of one type."""
    declared = call.api.registry.find(call.params["cls"])
    if declared is None:
        near = ", ".join(full_type(name) for name in call.api.registry.nearest(call.params["cls"]))
        raise errors.not_found(
            f"Unable to find plugin {call.params['cls']}" + (f", did you mean {near}?" if near else "")
        )
    title = declared.TYPE.rpartition(".")[2]
    return json(
        {
            "markdown": f"# {title}\n\n{inspect.cleandoc(declared.__doc__ or '')}\n",
            "schema": {"properties": json_schema.of_type(declared), "outputs": {"properties": {}}, "definitions": {}},
        }
    )


PARTS = frozenset({"task", "trigger", "condition", "input"})


async def schema(call: Call) -> web.Response:
    """GET /plugins/schemas/{type}: the JSON Schema of a flow, or of what stands in one."""
    kind = call.params["type"].lower()
    if kind == "flow":
        return json(json_schema.flow(call.api.registry))
    if kind not in PARTS:
        raise errors.not_found(f"there is no schema `{kind}`, only flow, {', '.join(sorted(PARTS))}")
    return json(json_schema.part(call.api.registry, kind))


async def functions(call: Call) -> web.Response:
    return json([entry(each) for each in expr.FUNCTIONS.values()])


async def filters(call: Call) -> web.Response:
    return json(sorted(expr.FILTERS))


def entry(each: Any) -> dict[str, Any]:
    arguments = []
    for parameter in each.parameters:
        shown: dict[str, Any] = {"name": parameter.name, "required": parameter.required}
        if parameter.default is not None:
            shown["default"] = parameter.default
        arguments.append(shown)
    return {"name": each.name, "arguments": arguments, "description": each.doc}
