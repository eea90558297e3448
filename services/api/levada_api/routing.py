"""From method and path to a handler: the whole surface of the API is one table of `Route`s, read by this module.

Three rules are enforced when the router is built, so that a server that breaks one does not start: every route names
its permission or is listed in PUBLIC (exactly, method and template), every entry of PUBLIC exists, and no two routes
claim the same method and template.

Paths are split before they are decoded, so `%2F` stays inside its segment. Matching walks a tree of segments, literals
before parameters, and costs the length of the path, not the size of the table. Clients of old write no tenant: a first
segment that names a tenant's resource means tenant `main`, which is why those words can never be tenant ids.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec
from aiohttp import web

from levada.model.errors import Defect

if TYPE_CHECKING:
    from levada_api.call import Call

Handler = Callable[["Call"], Awaitable[web.StreamResponse]]

DEFAULT_TENANT = "main"

#: First segments after /api/v1 that belong to a tenant; without a tenant they mean the default one.
TENANT_RESOURCES = frozenset(
    [
        "apps",
        "assets",
        "auditlogs",
        "bindings",
        "blueprints",
        "concurrency-limit",
        "dashboards",
        "dependencies",
        "executions",
        "expressions",
        "flows",
        "groups",
        "invitations",
        "kv",
        "logs",
        "metrics",
        "namespaces",
        "outputs",
        "roles",
        "secrets",
        "service-accounts",
        "stats",
        "taskruns",
        "templates",
        "tests",
        "triggers",
        "usages",
    ]
)

ACTIONS = frozenset({"read", "create", "update", "delete", "execute"})

RESOURCES = frozenset(
    {"audit", "execution", "flow", "file", "instance", "kv", "log", "metric", "namespace", "plugin", "trigger"}
)

_WORKER = "/api/v1/worker"

#: The worker gateway has credentials of its own: the workers' token and the claims of attempts (gateway/door.py).
WORKER_GATEWAY = frozenset(
    {
        ("POST", f"{_WORKER}/claim"),
        ("POST", f"{_WORKER}/renew"),
        ("POST", f"{_WORKER}/cancelled"),
        ("POST", f"{_WORKER}/report"),
        ("POST", f"{_WORKER}/lines"),
        ("POST", f"{_WORKER}/hello"),
        ("POST", f"{_WORKER}/goodbye"),
        ("POST", f"{_WORKER}/task/{{operation}}"),
        ("GET", f"{_WORKER}/files"),
        ("PUT", f"{_WORKER}/files"),
        ("DELETE", f"{_WORKER}/files"),
        ("GET", f"{_WORKER}/files/stat"),
        ("GET", f"{_WORKER}/files/exists"),
        ("GET", f"{_WORKER}/files/list"),
        ("POST", f"{_WORKER}/files/move"),
        ("POST", f"{_WORKER}/files/folder"),
    }
)

#: What needs no credentials of a person: probes, and webhooks (their key is the credential). Exact templates only.
PUBLIC = (
    frozenset(
        {
            ("GET", "/ping"),
            ("GET", "/health"),
            ("GET", "/health/liveness"),
            ("GET", "/health/readiness"),
            ("GET", "/api/v1/{tenant}/executions/webhook/{namespace}/{id}/{key}"),
            ("POST", "/api/v1/{tenant}/executions/webhook/{namespace}/{id}/{key}"),
            ("PUT", "/api/v1/{tenant}/executions/webhook/{namespace}/{id}/{key}"),
        }
    )
    | WORKER_GATEWAY
)


class Permission(msgspec.Struct, frozen=True):
    """What a caller must be allowed to do: `action` on `resource`."""

    resource: str
    action: str


class Route(msgspec.Struct, frozen=True):
    """`template` has literal segments and `{name}` ones; a last `{name*}` takes the rest of the path.

    `streams` routes read their bodies themselves (uploads), under the upload limit.
    """

    method: str
    template: str
    handler: Handler
    permission: Permission | None = None
    streams: bool = False

    @property
    def change(self) -> Permission | None:
        """What a request on this route may change; None for routes that only read, and for what workers do."""
        if self.permission is not None:
            return None if self.permission.action == "read" else self.permission
        return Permission("execution", "create") if "/executions/webhook/" in self.template else None


class Match(msgspec.Struct, frozen=True):
    route: Route
    params: dict[str, str]


class _Node:
    __slots__ = ("literals", "parameter", "rest", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.rest: dict[str, tuple[Route, tuple[str, ...]]] = {}
        self.routes: dict[str, tuple[Route, tuple[str, ...]]] = {}


class Router:
    """The table as a tree. Immutable once built."""

    def __init__(self, routes: Iterable[Route], public: frozenset[tuple[str, str]] = PUBLIC) -> None:
        """Raises Defect naming every route that breaks a rule of this module."""
        self._root = _Node()
        table = list(routes)
        faults = _faults(table, public)
        if faults:
            raise Defect("the API cannot start: " + "; ".join(faults))
        for route in table:
            self._add(route)

    def match(self, method: str, raw_path: str) -> Match | frozenset[str]:
        """Return the route, or the methods that this path does answer (empty: no such path)."""
        segments = split(raw_path)
        values: list[str] = []
        found = _walk(self._root, segments, 0, values, "GET" if method == "HEAD" else method)
        if found is None:
            return frozenset(self._methods(self._root, segments, 0))
        route, names = found
        return Match(route, dict(zip(names, values, strict=True)))

    def _methods(self, node: _Node, segments: list[str], at: int) -> set[str]:
        """Every method that some route of this path has: only asked when there is no route."""
        if at == len(segments):
            return set(node.routes)
        out = set(node.rest)
        below = [node.literals.get(segments[at]), node.parameter if segments[at] else None]
        for child in below:
            if child is not None:
                out |= self._methods(child, segments, at + 1)
        return out

    def _add(self, route: Route) -> None:
        node: _Node = self._root
        names: list[str] = []
        for segment in route.template.strip("/").split("/"):
            if segment.endswith("*}"):
                node.rest[route.method] = (route, (*names, segment[1:-2]))
                return
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        node.routes[route.method] = (route, tuple(names))


def _walk(
    node: _Node, segments: list[str], at: int, values: list[str], method: str
) -> tuple[Route, tuple[str, ...]] | None:
    """Return the route below `node`, literals first, and put the values of its parameters into `values`."""
    if at == len(segments):
        return node.routes.get(method)
    segment = segments[at]
    literal = node.literals.get(segment)
    if literal is not None:
        found = _walk(literal, segments, at + 1, values, method)
        if found is not None:
            return found
    if node.parameter is not None and segment:
        values.append(unquote(segment) if "%" in segment else segment)
        found = _walk(node.parameter, segments, at + 1, values, method)
        if found is not None:
            return found
        values.pop()
    found = node.rest.get(method)
    if found is not None:
        values.append(unquote("/".join(segments[at:])))
    return found


def split(raw_path: str) -> list[str]:
    """Split an encoded path into its encoded segments, with the default tenant put in where the client left it out."""
    segments = raw_path.strip("/").split("/")
    if len(segments) > 2 and segments[0] == "api" and segments[1] == "v1" and segments[2] in TENANT_RESOURCES:
        segments.insert(2, DEFAULT_TENANT)
    return segments


def _faults(table: list[Route], public: frozenset[tuple[str, str]]) -> list[str]:
    faults, seen = [], set()
    for route in table:
        key = (route.method, route.template)
        name = f"{route.method} {route.template}"
        if key in seen:
            faults.append(f"{name} is declared twice")
        seen.add(key)
        permission = route.permission
        if permission is None:
            if key not in public:
                faults.append(f"{name} declares no permission and is not public")
        elif key in public:
            faults.append(f"{name} is public and must declare no permission")
        elif permission.resource not in RESOURCES or permission.action not in ACTIONS:
            faults.append(f"{name} declares an unknown permission {permission.resource}:{permission.action}")
    faults.extend(f"{method} {template} is public but no route" for method, template in sorted(public - seen))
    return faults


def allow_header(methods: Iterable[str]) -> Mapping[str, str]:
    return {"Allow": ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))}
