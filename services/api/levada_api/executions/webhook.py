"""Starting a flow by the key of one of its Webhook triggers.

The key is the credential, so these routes are public. Whoever guesses learns nothing: an unknown flow, a flow without
webhooks, a disabled trigger and a wrong key all get the same 404, and keys are compared in constant time, every one of
them. A condition that does not hold answers 204 and starts nothing.
"""

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from levada import expr
from levada.engine import conditions, context
from levada.model.commands import StartExecution
from levada.model.errors import UserError
from levada.model.execution import Origin
from levada.model.flow import Flow, Trigger
from levada_api import errors, labels
from levada_api.call import Call, empty, json, limited
from levada_api.commands import send_start
from levada_api.executions import resolving, start

TYPE = "core.trigger.Webhook"
CONDITIONS = frozenset(
    {
        "core.condition.Expression",
        "core.condition.ExpressionCondition",
        "io.kestra.core.models.conditions.types.VariableCondition",
    }
)


async def receive(call: Call) -> web.Response:
    flow = await call.api.flows.find(call.tenant, call.params["namespace"], call.params["id"])
    trigger = _chosen(call, flow, call.params["key"]) if flow is not None and not flow.disabled else None
    if flow is None or trigger is None:
        raise errors.not_found("Flow not found")
    variables = await _variables(call)
    scope = _scope(call, flow, {"trigger": variables})
    host = context.PureHost(call.api.now(), call.api.new_id())
    if not holds(trigger, flow, scope, host):
        return empty()
    command = await _command(call, flow, trigger, variables, expr.render(dict(trigger.inputs), scope, host))
    now = call.api.now()
    await send_start(call.api, command)
    return json(start.created(call, flow, command, now))


class _KeyHost(context.PureHost):
    """Keys may come from a secret; nothing else that needs a service is rendered before the key is known."""

    __slots__ = ("_secrets",)

    def __init__(self, now_us: int, seed: str, secrets: Mapping[str, str]) -> None:
        super().__init__(now_us, seed)
        self._secrets = secrets

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if name == "secret" and args and (found := self._secrets.get(str(args[0]))) is not None:
            return found
        return super().call(name, args, kwargs)


def _chosen(call: Call, flow: Flow, key: str) -> Trigger | None:
    """Compare the key with that of every webhook of the flow, so that the time tells nothing."""
    chosen = None
    host = _KeyHost(call.api.now(), flow.id, call.api.platform.secrets)
    for trigger in flow.triggers:
        if trigger.type != TYPE or trigger.disabled:
            continue
        try:
            own = str(expr.reveal(expr.render(trigger.properties.get("key", ""), _scope(call, flow, {}), host)))
        except UserError:
            # A key that cannot be rendered opens nothing; the caller must not learn more.
            continue
        if own and hmac.compare_digest(own.encode(), key.encode()):
            chosen = chosen or trigger
    return chosen


def _scope(call: Call, flow: Flow, more: dict[str, Any]) -> dict[str, Any]:
    env = call.api.environment
    return {
        "flow": {"id": flow.id, "namespace": flow.namespace, "revision": flow.revision, "tenantId": flow.tenant},
        "vars": flow.variables,
        "labels": context.nested(list(flow.labels)),
        "globals": env.globals,
        "envs": env.envs,
        "kestra": env.kestra,
        **more,
    }


async def _variables(call: Call) -> dict[str, Any]:
    """What the flow reads as `trigger`: body, headers and parameters, the latter two as lists of texts."""
    limit = call.api.config.limits.webhook_body
    body = b"".join([chunk async for chunk in limited(call.request.content.iter_any(), limit, "the webhook's body")])
    headers: dict[str, list[str]] = {}
    for name, value in call.request.headers.items():
        headers.setdefault(name, []).append(value)
    parameters: dict[str, list[str]] = {}
    for name, value in call.request.query.items():
        parameters.setdefault(name, []).append(value)
    out: dict[str, Any] = {"headers": headers, "parameters": parameters}
    if body:
        out["body"] = parsed(body)
    return out


def parsed(body: bytes) -> Any:
    """Return JSON values; a body that is not JSON stays text."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")


def holds(trigger: Trigger, flow: Flow, scope: dict[str, Any], host: context.PureHost) -> bool:
    """Return whether `when` and all conditions of the trigger hold. Raises UserError for what can not be evaluated."""
    when = trigger.properties.get("when")
    if when is not None and not expr.truthy(expr.reveal(expr.render(when, scope, host))):
        return False
    subject = conditions.Subject(namespace=flow.namespace, flow_id=flow.id, labels=dict(flow.labels))
    return conditions.all_hold(trigger.properties.get("conditions") or (), subject, conditions.Scope(scope, host))


async def _command(
    call: Call, flow: Flow, trigger: Trigger, variables: dict[str, Any], given: dict[str, Any]
) -> StartExecution:
    execution_id = call.api.new_id()
    return StartExecution(
        execution_id=execution_id,
        tenant=call.tenant,
        namespace=flow.namespace,
        flow_id=flow.id,
        flow_revision=flow.revision,
        inputs=await resolving.for_start(call.api, flow, execution_id, given),
        resolved=True,
        labels=labels.merged(trigger.labels),
        trigger=Origin(id=trigger.id, type=trigger.type, variables=variables),
        trace_parent=call.request.headers.get("traceparent"),
    )
