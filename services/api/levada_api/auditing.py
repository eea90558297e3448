"""What goes into the audit log about a request: one record for each that may change something, whatever came of it.

The server calls this for every route whose permission is more than reading (`routing.Route.change`); handlers know nothing
of it, so none can forget it. A record names things and never repeats contents: the template of the route, the parameters
of the path, those of the query with whatever looks like a secret taken out, and of the answer its id, namespace, revision
or count. Bodies, inputs, headers and error texts, which may quote inputs, are not in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from levada.model.audit import AuditEntry, Outcome
from levada.runtime.auditing import WEBHOOK, Made, made
from levada_api.context import Api
from levada_api.routing import Match, Permission

REQUEST_ID = "X-Request-Id"
HIDDEN = "***"
#: A parameter whose name says that its value is nobody else's business.
SECRETIVE = re.compile(r"pass|secret|token|credential|authoriz|signature|apikey|api_key|^key$|^sig$", re.IGNORECASE)
MOST_PARAMETERS = 20
LONGEST_VALUE = 200
#: Shorter ones are words that stand anywhere.
SHORTEST_SECRET = 6
#: What a client that went away before its answer is noted with.
GONE = 499

#: Which parameter of a path names the thing that a permission is about, the first that is there.
OBJECTS: Mapping[str, tuple[str, ...]] = {
    "execution": ("execution",),
    "flow": ("id", "flow"),
    "kv": ("key",),
    "log": ("execution", "flow"),
    "namespace": ("namespace",),
    "trigger": ("trigger", "flow"),
}


class Record:
    """The record of one request, from its arrival to its answer."""

    __slots__ = ("_api", "_at", "_change", "_id", "_match", "_request", "who")

    def __init__(self, api: Api, request: web.BaseRequest, match: Match, change: Permission) -> None:
        self._api = api
        self._at = api.now()
        self._id = api.new_id()
        self._request = request
        self._match = match
        self._change = change
        self.who = "anonymous"

    def answered(self, response: web.StreamResponse) -> AuditEntry | None:
        """Return the finished record; the answer gets the id by which support can find it.

        None for a webhook that started nothing: everybody may call those, and would fill the audit log with it.
        """
        if self._match.route.permission is None:
            if response.status >= 300 or response.status == 204:
                return None
            self.who = WEBHOOK
        if not response.prepared:
            response.headers[REQUEST_ID] = self._request_id()
        return self._entry(response.status, _made(response))

    def abandoned(self) -> AuditEntry:
        """Return the record of a request whose client, or server, went away before the answer."""
        return self._entry(GONE, Made(), Outcome.FAILED)

    def _entry(self, status: int, made: Made, outcome: Outcome | None = None) -> AuditEntry:
        params, change = self._match.params, self._change
        return AuditEntry(
            id=self._id,
            at=self._at,
            tenant=params.get("tenant", "main"),
            who=self.who,
            action=change.action,
            kind=change.resource,
            object=self._object(made),
            namespace=params.get("namespace") or made.namespace or self._request.query.get("namespace"),
            outcome=outcome or Outcome.of(status),
            status=status,
            details=self._details(made),
            request_id=self._request_id(),
            remote=self._request.remote,
        )

    def _object(self, made: Made) -> str | None:
        if self._change.resource == "file":
            return self._request.query.get("path")
        if self._change.action != "create":
            for name in OBJECTS.get(self._change.resource, ()):
                if name in self._match.params:
                    return self._match.params[name]
        return made.id

    def _request_id(self) -> str:
        given = self._request.headers.get(REQUEST_ID, "")
        return given if 0 < len(given) <= 128 and given.isascii() and given.isprintable() else self._id

    def _details(self, made: Made) -> dict[str, Any]:
        route = self._match.route
        details: dict[str, Any] = {"route": f"{route.method} {route.template}"}
        public = route.permission is None
        # The key of a webhook is its credential, and what callers of one send is not ours to keep.
        params = {k: HIDDEN if public and k == "key" else v for k, v in self._match.params.items() if k != "tenant"}
        if params:
            details["path"] = {name: self._clear(value) for name, value in params.items()}
        query = self._query(names_only=public)
        if query:
            details["query"] = query
        for name in ("flow_id", "revision", "flow_revision", "count"):
            value = getattr(made, name)
            if value is not None:
                details[name] = value
        if made.id is not None and made.id != self._object(made):
            details["made"] = made.id
        forwarded = self._request.headers.get("X-Forwarded-For")
        if forwarded:
            details["forwarded_for"] = forwarded[:LONGEST_VALUE]
        return details

    def _query(self, *, names_only: bool) -> dict[str, list[str]]:
        """Return the parameters of the query as far as they may be seen."""
        shown: dict[str, list[str]] = {}
        for name, value in self._request.query.items():
            if len(shown) == MOST_PARAMETERS and name not in shown:
                break
            hidden = names_only or SECRETIVE.search(name) is not None
            shown.setdefault(name[:LONGEST_VALUE], []).append(HIDDEN if hidden else self._clear(value))
        return shown

    def _clear(self, value: str) -> str:
        """Return a value, cut to a limit, or what stands for one that holds a secret of this installation."""
        if any(len(secret) >= SHORTEST_SECRET and secret in value for secret in self._api.platform.secrets.values()):
            return HIDDEN
        return value[:LONGEST_VALUE]


def _made(response: web.StreamResponse) -> Made:
    body = response.body if isinstance(response, web.Response) else None
    if response.status >= 300 or not isinstance(body, bytes) or response.content_type != "application/json":
        return Made()
    return made(body)
