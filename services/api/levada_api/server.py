"""The HTTP server: everything that happens to a request before and after its handler.

One function, `Application.__call__`, stands around the whole API: find the route, ask the gate, check the tenant, run the
handler, turn whatever it raises into an answer. There is no other way to a handler, so there is no handler without them.
The server is aiohttp's plain one: its own router compares a path with every route in turn, ours walks a tree.
"""

import asyncio
import functools
import logging

import msgspec
from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from levada_api import errors, routing
from levada_api.auditing import Record
from levada_api.auth import Gate
from levada_api.call import Call
from levada_api.context import Api
from levada_api.cors import Cors, granted
from levada_api.observing import NO_ROUTE, ROUTE, observed
from levada_api.routing import Match, Router

log = logging.getLogger("levada.api")

BACKLOG = 1024
SHUTDOWN_S = 5.0


class Application:
    """The API as one callable."""

    def __init__(self, api: Api, router: Router, gate: Gate | None) -> None:
        """`gate` None: whoever reaches this port may ask everything it answers (management port)."""
        self.api = api
        self.gate = gate
        self.router = router
        self.cors = Cors(api.config.server.cors_origins)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        preflight = self.cors.preflight(request)
        if preflight is not None:
            return preflight
        response = await observed(request, self._answered, self.api.clock)
        origin = self.cors.allowed(request.headers)
        if origin is not None and not response.prepared:
            response.headers.update(granted(origin))
        return response

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handled(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  (whatever a handler raises is answered, and logged when unexpected)
            return errors.answer(error, request.method, str(request.rel_url), self.api.new_id)

    async def _handled(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if "%00" in path or "%00" in request.rel_url.raw_query_string:
            raise errors.bad_request("the address has a NUL character, which no name can have")
        found = self.router.match(request.method, path)
        request[ROUTE] = found.route.template if isinstance(found, Match) else NO_ROUTE
        if isinstance(found, Match) and (change := found.route.change) is not None:
            return await self._recorded(request, found, Record(self.api, request, found, change))
        return await self._served(request, found)

    async def _recorded(self, request: web.BaseRequest, found: Match, record: Record) -> web.StreamResponse:
        """Serve a request that may change something, and write down who asked and what came of it."""
        try:
            response = await self._served(request, found, record)
        except asyncio.CancelledError:
            self.api.trail.add(record.abandoned())
            raise
        except Exception as error:  # noqa: BLE001  (as in `_answered`, which the record is made inside of)
            response = errors.answer(error, request.method, str(request.rel_url), self.api.new_id)
        entry = record.answered(response)
        if entry is not None:
            self.api.trail.add(entry)
        return response

    async def _served(
        self, request: web.BaseRequest, found: Match | frozenset[str], record: Record | None = None
    ) -> web.StreamResponse:
        path = request.rel_url.raw_path
        user = "anonymous"
        if self.gate is not None and not (isinstance(found, Match) and found.route.permission is None):
            user = self.gate.check(request.method, path, request.headers)
        if record is not None:
            record.who = user
        if not isinstance(found, Match):
            raise _no_route(request.method, path, found)
        call = Call(self.api, request, found.params, user)
        if call.tenant != routing.DEFAULT_TENANT:
            raise errors.not_found(
                f"there is no tenant `{call.tenant}`; this installation has `{routing.DEFAULT_TENANT}`"
            )
        if "Expect" in request.headers:
            await _go_on(request)
        return await found.route.handler(call)


async def _go_on(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body: only now is it known that somebody will read it."""
    if request.headers["Expect"].lower() != "100-continue":
        raise errors.ApiError(417, f"cannot fulfil `Expect: {request.headers['Expect']}`")
    if request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # It does not count as part of the answer.
        request.writer.output_size = 0


def _no_route(method: str, path: str, allowed: frozenset[str]) -> errors.ApiError:
    if not allowed:
        return errors.not_found(f"there is nothing at {path}")
    return errors.ApiError(
        405,
        f"{method} is not allowed for {path}, allowed are {', '.join(sorted(allowed))}",
        headers=routing.allow_header(allowed),
    )


class Listening(msgspec.Struct):
    """A server that accepts connections on `host` and `port`."""

    host: str
    port: int
    runner: web.ServerRunner

    async def close(self) -> None:
        """Stop accepting, let running requests end for SHUTDOWN_S, then close their connections."""
        await self.runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


async def listen(application: Application, host: str, port: int) -> Listening:
    """Start to serve; port 0 takes a free one. Raises OSError when the address is taken."""
    limit = application.api.config.limits.body
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    server = web.Server(
        application,
        request_factory=functools.partial(_request, asyncio.get_running_loop(), limit),
        access_log=None,
    )
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    except BaseException:
        await runner.cleanup()
        raise
    return Listening(host, runner.addresses[0][1], runner)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether to print what aiohttp has to say: bytes that are no HTTP are their sender's error, answered with 400."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError) or log.isEnabledFor(logging.DEBUG)


def _request(loop: asyncio.AbstractEventLoop, limit: int, *parts: object) -> web.BaseRequest:
    return web.BaseRequest(*parts, loop, client_max_size=limit)  # type: ignore[arg-type,misc]
