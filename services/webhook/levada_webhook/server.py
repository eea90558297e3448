"""The door: HTTP in front of levada/runtime/webhooks.py, open to everybody and therefore careful.

It knows one address, with a tenant or without:

    GET POST PUT /api/v1/{tenant}/executions/webhook/{namespace}/{flow}/{key}

A connection gets so long for the head of a request and so long for its body; heads are limited in size and number, a body
by `limits.webhook_body`, all bodies together by `webhook.memory`. The flow and the key are looked at before the body is read,
so whoever does not know a key can send none. Keys are in addresses, so addresses never get into a log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from levada.engine.inputs import InvalidInputs
from levada.model.audit import AuditEntry, Outcome
from levada.model.errors import Transient, UserError
from levada.runtime import answers, metrics, telemetry, webhooks
from levada.runtime.auditing import WEBHOOK, AuditTrail, made
from levada.runtime.clock import Clock, new_id
from levada.runtime.config import Config
from levada.runtime.webhooks import Delivery, Reply, Webhooks

log = logging.getLogger("levada.webhook")

TENANT: Final = "main"
METHODS: Final = ("GET", "POST", "PUT")
BACKLOG: Final = 1024
SHUTDOWN_S: Final = 5.0
LONGEST_LINE: Final = 8190
MOST_HEADERS: Final = 128
#: How long the rest of a body is read, and thrown away, after the answer.
LINGER_S: Final = 1.0
ROUTE: Final = "/api/v1/{tenant}/executions/webhook/{namespace}/{id}/{key}"


class Memory:
    """The bytes of bodies that are held now."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def take(self, size: int) -> None:
        """Raises Transient when that would be too much."""
        if self.held + size > self._limit:
            raise Transient("too many requests are being read at this moment")
        self.held += size

    def give_back(self, size: int) -> None:
        self.held -= size


class Door:
    """The service as one callable for aiohttp. `stopping` is set when callers should wait no longer."""

    def __init__(self, hooks: Webhooks, config: Config, clock: Clock, trail: AuditTrail) -> None:
        self._hooks = hooks
        self._limit = config.limits.webhook_body
        self._body_timeout_s = config.webhook.body_timeout
        self._memory = Memory(config.webhook.memory)
        self._clock = clock
        self._trail = trail
        self.stopping = False

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        started = self._clock.monotonic()
        method = request.method if request.method in METHODS else "other"
        with telemetry.span(f"{method} {ROUTE}", parent=telemetry.extract(request.headers), kind="server") as span:
            try:
                response = await self._answered(request)
            except Exception as error:  # noqa: BLE001  (whatever happens is answered, and logged when unexpected)
                response = self._error(error, request)
            span.set(**{"http.response.status_code": response.status})
        outcome = "started" if response.status < 300 and response.status != 204 else str(response.status)
        metrics.WEBHOOKS.inc(outcome)
        metrics.HTTP.observe(self._clock.monotonic() - started, method, ROUTE)
        metrics.HTTP_ANSWERS.inc(method, ROUTE, str(response.status))
        return response

    async def _answered(self, request: web.BaseRequest) -> web.Response:
        address = _address(request.rel_url.raw_path)
        if address is None:
            raise answers.not_found("there are only webhooks here")
        if request.method not in METHODS:
            raise answers.ApiError(405, "a webhook is a GET, POST or PUT", headers={"Allow": ", ".join(METHODS)})
        flow, trigger = await self._hooks.find(*address)
        body = await self._read(request)
        try:
            delivery = Delivery(
                headers=list(request.headers.items()),
                parameters=list(request.query.items()),
                body=body,
                idempotency_key=webhooks.idempotency_key(request.headers),
                trace_parent=telemetry.current(),
            )
            reply = await self._hooks.deliver(flow, trigger, delivery, lambda: self._gone(request))
        finally:
            self._memory.give_back(len(body))
        if reply.status < 300 and reply.status != 204:
            self._record(request, address, reply)
        return _response(reply)

    def _record(self, request: web.BaseRequest, address: tuple[str, str, str, str], reply: Reply) -> None:
        """Write down that a webhook has started something; its key and what it brought are nobody else's business."""
        tenant, namespace, flow_id, _ = address
        id = new_id(self._clock)
        self._trail.add(
            AuditEntry(
                id=id,
                at=self._clock.now_us(),
                tenant=tenant,
                who=WEBHOOK,
                action="create",
                kind="execution",
                object=made(reply.body).id,
                namespace=namespace,
                outcome=Outcome.DONE,
                status=reply.status,
                details={"route": f"{request.method} {ROUTE}", "path": {"namespace": namespace, "id": flow_id}},
                request_id=id,
                remote=request.remote,
            )
        )

    async def _read(self, request: web.BaseRequest) -> bytes:
        """Return the body, which counts as held from now on. Raises ApiError, Transient; then nothing of it is held."""
        if (request.content_length or 0) > self._limit:
            raise answers.too_large("the webhook's body", self._limit)
        chunks, size = [], 0
        try:
            async with asyncio.timeout(self._body_timeout_s):
                await _go_on(request)
                async for chunk in request.content.iter_any():
                    self._memory.take(len(chunk))
                    size += len(chunk)
                    if size > self._limit:
                        raise answers.too_large("the webhook's body", self._limit)
                    chunks.append(chunk)
        except BaseException as error:
            self._memory.give_back(size)
            if isinstance(error, TimeoutError):
                raise answers.ApiError(
                    408, f"the body did not arrive within {self._body_timeout_s:g} s (webhook.body_timeout)"
                ) from None
            raise
        return b"".join(chunks)

    def _gone(self, request: web.BaseRequest) -> bool:
        return self.stopping or request.transport is None or request.transport.is_closing()

    def _error(self, error: Exception, request: web.BaseRequest) -> web.Response:
        known = _classified(error)
        if known is None:
            number = new_id(self._clock)
            log.error(
                "%s %s failed, error id %s", request.method, webhooks.masked(request.path), number, exc_info=error
            )
            known = answers.ApiError(500, f"error id {number}; the server's log has the cause")
        response = web.Response(
            status=known.status,
            body=answers.body(known, webhooks.masked(str(request.rel_url))),
            content_type="application/json",
            headers=known.headers,
        )
        if known.status in (408, 413):
            response.force_close()  # the rest of its body is not wanted
        return response


def _response(reply: Reply) -> web.Response:
    if reply.status == 204:
        return web.Response(status=204)
    headers = {webhooks.REPLAYED: "true"} if reply.replayed else {}
    return web.Response(status=reply.status, body=reply.body, content_type=reply.content_type, headers=headers)


def _address(raw_path: str) -> tuple[str, str, str, str] | None:
    """Return tenant, namespace, flow and key of an address; None for one that is no webhook's, or another tenant's."""
    segments = raw_path.strip("/").split("/")
    if segments[:3] == ["api", "v1", "executions"]:
        segments.insert(2, TENANT)
    if len(segments) != 8 or segments[:5] != ["api", "v1", TENANT, "executions", "webhook"] or "" in segments:
        return None
    namespace, flow_id, key = (unquote(segment) for segment in segments[5:])
    if "\x00" in namespace or "\x00" in flow_id:
        return None
    return TENANT, namespace, flow_id, key


async def _go_on(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body: only now is it known that somebody will read it."""
    wanted = request.headers.get("Expect")
    if wanted is None:
        return
    if wanted.lower() != "100-continue":
        raise answers.ApiError(417, f"cannot fulfil `Expect: {wanted[:80]}`")
    if request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it does not count as part of the answer


def _classified(error: Exception) -> answers.ApiError | None:
    """Return the answer to an exception whose cause is known; None for a defect."""
    match error:
        case answers.ApiError():
            return error
        case InvalidInputs():
            found = [answers.FieldError(problem.message, f"inputs.{problem.path}") for problem in error.problems]
            return answers.ApiError(422, str(error), reason="Invalid entity", errors=found)
        case UserError():
            return answers.illegal_argument(str(error).removeprefix("Illegal argument: "))
        case Transient():
            return answers.ApiError(503, f"{error}; try again", headers={"Retry-After": "1"})
        case web.RequestPayloadError() | ConnectionError():
            return answers.bad_request(f"the request body broke off: {error}")
        case _:
            return None


# --- listening


class _Server(web.Server):
    """Closes connections that send no complete head in time; aiohttp itself would wait for the first one for ever."""

    def __init__(self, door: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], head_timeout_s: float) -> None:
        super().__init__(
            door,
            request_factory=self._begun,
            access_log=None,
            keepalive_timeout=head_timeout_s,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            lingering_time=LINGER_S,
        )
        self._head_timeout_s = head_timeout_s
        self._waiting: dict[RequestHandler, asyncio.TimerHandle] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        loop = asyncio.get_running_loop()
        self._waiting[handler] = loop.call_later(self._head_timeout_s, transport.abort)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self._no_longer(handler)
        super().connection_lost(handler, exc)

    def _begun(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        self._no_longer(protocol)
        return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())

    def _no_longer(self, handler: RequestHandler) -> None:
        timer = self._waiting.pop(handler, None)
        if timer is not None:
            timer.cancel()


@dataclass(frozen=True, slots=True)
class Listening:
    """The server, accepting connections on `host` and `port`."""

    host: str
    port: int
    runner: web.ServerRunner

    async def close(self) -> None:
        """Stop accepting, let running requests end for SHUTDOWN_S, then close their connections."""
        await self.runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


async def listen(door: Door, config: Config) -> Listening:
    """Start to serve; port 0 takes a free one. Raises UserError when the address is taken."""
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    runner = web.ServerRunner(
        _Server(door, config.webhook.head_timeout), handle_signals=False, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port, backlog=BACKLOG).start()
    except OSError as error:
        await runner.cleanup()
        raise UserError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror or error}; stop what listens there, or set port"
        ) from error
    return Listening(config.host, runner.addresses[0][1], runner)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether to print what aiohttp has to say: bytes that are no HTTP are their sender's error, answered with 400."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError) or log.isEnabledFor(logging.DEBUG)
