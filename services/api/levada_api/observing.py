"""What the API shows of its requests: how many, how long, with what answer, and their spans.

The label `route` is the template of the table, so it has as many values as the table has rows; whatever matches none is one
more. A request is traced when its caller traces it, or when it may change something: an execution's trace begins there.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from levada.runtime import metrics, telemetry, wire
from levada.runtime.clock import Clock

ROUTE = web.RequestKey("levada.route", str)
NO_ROUTE = "none"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def observed(request: web.BaseRequest, handle: Handle, clock: Clock) -> web.StreamResponse:
    """Answer a request and count it. A caller that left before the answer counts as 499."""
    began = clock.monotonic()
    status = "499"
    metrics.HTTP_OPEN.inc()
    try:
        response = await _traced(request, handle)
        status = str(response.status)
        return response
    finally:
        metrics.HTTP_OPEN.inc(by=-1)
        method = request.method if request.method in METHODS else "other"
        route = request.get(ROUTE, NO_ROUTE)
        metrics.HTTP.observe(clock.monotonic() - began, method, route)
        metrics.HTTP_ANSWERS.inc(method, route, status)


async def _traced(request: web.BaseRequest, handle: Handle) -> web.StreamResponse:
    """The gateway's requests have spans of their own, in the traces of the attempts that they are made for."""
    parent = telemetry.extract(request.headers)
    begins = telemetry.enabled() and request.method not in READING
    if (parent is None and not begins) or request.path.startswith(wire.PREFIX):
        return await handle(request)
    with telemetry.span(request.method, parent=parent, kind="server") as span:
        response = await handle(request)
        route = request.get(ROUTE, NO_ROUTE)
        span.rename(f"{request.method} {route}")
        span.set(http_route=route, http_request_method=request.method)
        span.set(**{"http.response.status_code": response.status})
        if response.status >= 500:
            span.fail(f"answered {response.status}")
        return response
