"""Starting a flow by the key of one of its Webhook triggers: what the webhook service and the api do alike.

The key is the credential, so these addresses are public. Whoever guesses learns nothing: an unknown flow, a flow without
webhooks, a disabled trigger and a wrong key all get the same 404, and keys are compared in constant time, every one of
them. A condition that does not hold answers 204 and starts nothing. The answer goes out when the start is durable; with
`wait: true` in the trigger, when the execution has ended.

A request with an `Idempotency-Key` may be repeated: the first one claims the key for its execution, and whoever comes with
it later is answered with that execution. The claim comes before the start, so that no two requests can start anything; a
repeat of a request whose process died between the two sends the start again, under the same id.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from levada import expr
from levada.model.commands import StartExecution
from levada.model.errors import UserError
from levada.model.execution import ExecutionHead
from levada.model.flow import Flow, Trigger
from levada.runtime import answers, created, telemetry
from levada.runtime.clock import new_id
from levada.runtime.failpoints import failpoint
from levada.runtime.hub import Hub
from levada.runtime.starting import Starter, Variables, conditions_of
from levada.store.port import ExecutionFilter, ExecutionQueries
from levada.store.triggers import Deliveries, DeliveryKey

TYPE = "core.trigger.Webhook"
IDEMPOTENCY_KEY = "Idempotency-Key"
#: On the answer to a repeat.
REPLAYED = "Idempotent-Replayed"
LONGEST_KEY = 255
#: How long a claimed key is remembered.
KEPT_US = 7 * 86_400_000_000
LOOK_S = 1.0
_KEY = re.compile(r"(/executions/webhook/[^/?]*/[^/?]*/)[^?]*")

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Flows(Protocol):
    async def find(self, tenant: str, namespace: str, id: str, revision: int | None = None) -> Flow | None: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was sent to a webhook. `headers` and `parameters` in the order they came, names as they were written."""

    headers: Iterable[tuple[str, str]]
    parameters: Iterable[tuple[str, str]]
    body: bytes
    idempotency_key: str | None = None
    trace_parent: str | None = None

    def variables(self) -> Variables:
        """Return what the flow reads as `trigger`: body, headers and parameters, the latter two as lists of texts."""
        out: Variables = {"headers": _listed(self.headers), "parameters": _listed(self.parameters)}
        if self.body:
            out["body"] = parsed(self.body)
        return out


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer: no `body` and 204 when a condition does not hold."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The webhooks of all flows. `send` returns when a start is durable; `address` is where people reach the UI."""

    starter: Starter
    flows: Flows
    deliveries: Deliveries
    queries: ExecutionQueries
    hub: Hub
    send: Callable[[StartExecution], Awaitable[None]]
    address: Callable[[], str]

    async def find(self, tenant: str, namespace: str, flow_id: str, key: str) -> tuple[Flow, Trigger]:
        """Return the flow and the trigger that this key opens. Raises 404, the same for everything that is wrong."""
        flow = await self.flows.find(tenant, namespace, flow_id)
        trigger = self._opened(flow, key) if flow is not None and not flow.disabled and not flow.draft else None
        if flow is None or trigger is None:
            raise answers.not_found("Flow not found")
        return flow, trigger

    def _opened(self, flow: Flow, key: str) -> Trigger | None:
        """Compare the key with that of every webhook of the flow, so that the time tells nothing."""
        opened = None
        host = self.starter.host(flow, flow.id)
        for trigger in flow.triggers:
            if trigger.type != TYPE or trigger.disabled:
                continue
            try:
                scope = self.starter.scope(flow)
                own = str(expr.reveal(expr.render(trigger.properties.get("key", ""), scope, host)))
            except UserError:
                # A key that cannot be rendered opens nothing; the caller must not learn more.
                continue
            if own and hmac.compare_digest(own.encode(), key.encode("utf-8", "surrogatepass")):
                opened = opened or trigger
        return opened

    async def deliver(
        self, flow: Flow, trigger: Trigger, delivery: Delivery, gone: Callable[[], bool] = lambda: False
    ) -> Reply:
        """Start the flow. Raises UserError for wrong inputs and what can not be evaluated, Transient.

        `gone` says whether whoever waits for the end has left.
        """
        scope = self.starter.scope(flow, trigger=delivery.variables())
        mine, now = new_id(self.starter.clock), self.starter.clock.now_us()
        host = self.starter.host(flow, mine, now)
        reads = [trigger.properties.get("when"), conditions_of(trigger)]
        if not await self.starter.rendered(reads, lambda: self.starter.holds(trigger, flow, scope, host)):
            return Reply(204)
        execution_id, at, sent = mine, now, False
        if delivery.idempotency_key is not None:
            execution_id, at, sent = await self._claim(flow, delivery.idempotency_key, mine, now)
        trace = delivery.trace_parent or telemetry.new_trace(execution_id)
        command = await self.starter.rendered(
            [trigger.inputs, [value for _, value in trigger.labels]],
            lambda: self.starter.start(flow, trigger, execution_id, scope, host, trace_parent=trace),
        )
        failpoint("webhook.claimed")
        if not sent:
            await self.send(command)
            failpoint("webhook.sent")
            if delivery.idempotency_key is not None:
                await self.deliveries.sent(_key(flow, delivery.idempotency_key))
        made = created.document(flow, command, at, self.address())
        reply = Reply(200, _encode(made), replayed=execution_id != mine)
        if waits(trigger):
            reply = await self._ended(flow, trigger, made, gone)
        return reply

    async def _claim(self, flow: Flow, key: str, execution_id: str, now: int) -> tuple[str, int, bool]:
        if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
            raise answers.bad_request(f"{IDEMPOTENCY_KEY} must have 1 to {LONGEST_KEY} characters that can be printed")
        return await self.deliveries.claim(_key(flow, key), execution_id, now)

    # --- waiting for the end

    async def _ended(self, flow: Flow, trigger: Trigger, made: dict[str, Any], gone: Callable[[], bool]) -> Reply:
        """Wait without limit: the flow asks for it, and the caller leaves when it has had enough."""
        execution_id = made["id"]
        while not gone():
            heads, _ = await self.queries.search(flow.tenant, ExecutionFilter(ids=[execution_id]), limit=1)
            if heads and heads[0].is_terminal:
                return self._reply(flow, trigger, made, heads[0])
            await self.hub.wait(execution_id, LOOK_S)
        raise answers.ApiError(
            503, f"the server stops before execution {execution_id} has ended; the execution goes on"
        )

    def _reply(self, flow: Flow, trigger: Trigger, made: dict[str, Any], found: ExecutionHead) -> Reply:
        outputs = found.outputs or {}
        text = trigger.properties.get("responseContentType") == "text/plain"
        status = self._status(flow, trigger, outputs)
        if not _flag(trigger, "returnOutputs"):
            return Reply(status, _encode(created.ended(made, found)))
        if text:
            values = [value if isinstance(value, str) else _encode(value).decode() for value in outputs.values()]
            return Reply(status, "\n".join(values).encode(), "text/plain")
        return Reply(status, _encode(outputs))

    def _status(self, flow: Flow, trigger: Trigger, outputs: dict[str, Any]) -> int:
        wanted = trigger.properties.get("responseCode")
        if wanted is None:
            return 200
        host = self.starter.host(flow, flow.id)
        text = str(expr.reveal(expr.render(wanted, self.starter.scope(flow, outputs=outputs), host))).strip()
        if not text.isascii() or not text.isdigit() or not 200 <= int(text) <= 599:
            raise UserError(f"responseCode of trigger {trigger.id} must be a status from 200 to 599, is `{text[:80]}`")
        return int(text)


def _key(flow: Flow, key: str) -> DeliveryKey:
    return DeliveryKey(flow.tenant, flow.namespace, flow.id, key)


def parsed(body: bytes) -> Any:
    """Return JSON values; a body that is not JSON stays text."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")


def _listed(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for name, value in pairs:
        out.setdefault(name, []).append(value)
    return out


def _flag(trigger: Trigger, name: str) -> bool:
    """Return a flag of a flow file, where quoted ones are accepted too."""
    value = trigger.properties.get(name)
    return value is True or str(value).lower() == "true"


def masked(href: str) -> str:
    """Return the address of a request without the key of a webhook, for logs."""
    return _KEY.sub(r"\1******", href)


def waits(trigger: Trigger) -> bool:
    """Whether the answer goes out only when the execution has ended."""
    return _flag(trigger, "wait")


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request; one that is empty counts as none."""
    return headers.get(IDEMPOTENCY_KEY) or None
