"""What a client gets to read when something is wrong: the shape of errors, for every service that answers HTTP.

Every error answer is JSON and carries two shapes in one object, because two generations of clients are alive: Kestra's
own (`message` = reason phrase, colon, detail; `_links`; `_embedded.errors` for validation) and RFC 7807 (`type`, `title`,
`status`, `detail`). Reason phrases are Kestra's: tools compare them. Which exception gets which answer is decided by the
service that answers, since only it knows whose errors they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from levada.model.errors import UserError

_encode = msgspec.json.Encoder().encode

REASONS: dict[int, str] = {
    301: "Moved Permanently",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Illegal state",
    410: "Gone",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Entity",
    423: "Locked",
    500: "Internal server error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One finding of a validation: `path` names the field, `line` and `column` (1-based) the place in the source."""

    message: str
    path: str | None = None
    line: int | None = None
    column: int | None = None


class ApiError(UserError):
    """The request cannot be answered."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        reason: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """`extra` are further members of the body; `message` among them replaces the composed one."""
        self.reason = reason if reason is not None else REASONS[status]
        super().__init__(detail if detail is not None else self.reason)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


def not_found(detail: str | None = None) -> ApiError:
    return ApiError(404, detail)


def bad_request(detail: str) -> ApiError:
    return ApiError(400, detail)


def illegal_state(detail: str) -> ApiError:
    return ApiError(409, detail)


def illegal_argument(detail: str) -> ApiError:
    return ApiError(422, detail, reason="Illegal argument")


def unprocessable(detail: str) -> ApiError:
    return ApiError(422, detail)


def invalid_entity(errors: Iterable[FieldError]) -> ApiError:
    """Validation failed: the detail lists every finding, the body has them one by one."""
    found = list(errors)
    detail = "\n".join(f"{error.path}: {error.message}" if error.path else error.message for error in found)
    return ApiError(422, detail, reason="Invalid entity", errors=found)


def too_large(what: str, limit_bytes: int) -> ApiError:
    """`limit_bytes` is spelled in full, so that whoever reads it can search the configuration for it."""
    return ApiError(413, f"{what} is larger than the limit of {limit_bytes} bytes ({limit_bytes / 1048576:g} MiB)")


def body(error: ApiError, href: str) -> bytes:
    """Return the JSON of an error for the request to `href` (path and query)."""
    detail = error.detail
    message = error.reason if detail is None else f"{error.reason}: {detail}"
    data: dict[str, Any] = {
        "message": message,
        "_links": {"self": [{"href": href, "templated": False}]},
        "_embedded": {"errors": list(error.errors)} if error.errors else {},
        "type": "about:blank",
        "title": error.reason,
        "status": error.status,
        "detail": detail if detail is not None else error.reason,
    }
    data.update(error.extra)
    try:
        return _encode(data)
    except UnicodeEncodeError:
        # Half a surrogate pair from a header: shown as what it was, so that the answer can be sent.
        return json.dumps(msgspec.to_builtins(data)).encode()
