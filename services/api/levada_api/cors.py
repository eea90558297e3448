"""Pages of other origins: which may call the API from a browser, and how a browser is told.

None may, unless the configuration names their origin. Then the answer echoes it (never `*`, because credentials travel
along), and the browser's question beforehand (OPTIONS) is answered without credentials, as browsers send it.
"""

from collections.abc import Mapping

from aiohttp import web

METHODS = "GET, POST, PUT, PATCH, DELETE"
HEADERS = "Authorization, Content-Type, Accept, X-CSRF-TOKEN, ttl, description"
EXPOSED = "Content-Disposition"
MAX_AGE_S = 600


class Cors:
    """`origins` as the configuration spells them; empty: nothing is ever allowed or added."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origin.rstrip("/") for origin in origins)

    def allowed(self, headers: Mapping[str, str]) -> str | None:
        """Return the origin of the request if it may call."""
        if not self._origins:
            return None
        origin = headers.get("Origin")
        return origin if origin is not None and origin.rstrip("/") in self._origins else None

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """Answer a browser's question; None when this is none, or not from an allowed origin."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        origin = self.allowed(request.headers)
        if origin is None:
            return None
        headers = {
            **granted(origin),
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": HEADERS,
            "Access-Control-Max-Age": str(MAX_AGE_S),
        }
        return web.Response(status=204, headers=headers)


def granted(origin: str) -> dict[str, str]:
    """Headers of every answer to an allowed origin."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED,
        "Vary": "Origin",
    }
