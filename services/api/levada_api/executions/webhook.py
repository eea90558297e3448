"""Webhooks on the api, for installations that run no webhook service. What they do is said in levada/runtime/webhooks.py."""

from contextlib import nullcontext

from aiohttp import web

from levada.model.commands import StartExecution
from levada.runtime import telemetry, webhooks
from levada.runtime.webhooks import Delivery, Webhooks
from levada_api import errors
from levada_api.call import Call, limited
from levada_api.commands import send_start
from levada_api.context import Api


async def receive(call: Call) -> web.Response:
    api = call.api
    hooks = _webhooks(api)
    flow, trigger = await hooks.find(call.tenant, call.params["namespace"], call.params["id"], call.params["key"])
    request = call.request
    chunks = limited(request.content.iter_any(), api.config.limits.webhook_body, "the webhook's body")
    delivery = Delivery(
        headers=list(request.headers.items()),
        parameters=list(request.query.items()),
        body=b"".join([chunk async for chunk in chunks]),
        idempotency_key=webhooks.idempotency_key(request.headers),
        trace_parent=telemetry.current(),
    )

    def gone() -> bool:
        return request.transport is None or request.transport.is_closing() or api.streams.stopping

    reply = None
    with api.streams.open() if webhooks.waits(trigger) else nullcontext():
        reply = await hooks.deliver(flow, trigger, delivery, gone)
    if reply is None:
        raise errors.ApiError(503, "the server stops before the execution has ended; the execution goes on")
    headers = {webhooks.REPLAYED: "true"} if reply.replayed else {}
    return web.Response(
        status=reply.status,
        body=reply.body if reply.status != 204 else None,
        content_type=reply.content_type if reply.status != 204 else None,
        headers=headers,
    )


def _webhooks(api: Api) -> Webhooks:
    async def send(command: StartExecution) -> None:
        await send_start(api, command)

    platform = api.platform
    return Webhooks(
        starter=api.starter,
        flows=api.flows,
        deliveries=platform.deliveries,
        queries=platform.queries,
        hub=platform.hub,
        send=send,
        address=api.address,
    )
