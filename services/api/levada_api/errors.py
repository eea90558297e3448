"""What a client gets to read when something is wrong.

Every error answer is JSON and carries two shapes in one object, because two generations of clients are alive: Kestra's
own (`message` = reason phrase, colon, detail; `_links`; `_embedded.errors` for validation) and RFC 7807 (`type`, `title`,
`status`, `detail`). Reason phrases are Kestra's: tools compare them.

`answer` decides by whose fault it was. A user's error never becomes a 500; a 500 always has an id that is in the log
together with the traceback, and says nothing about our insides.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from levada.engine import Refused
from levada.engine.inputs import InvalidInputs
from levada.files.errors import FileMissing
from levada.flowfile import BrokenFlow, InvalidFlow, Problem
from levada.model.errors import Transient, UserError
from levada.store.port import Exists, Missing

log = logging.getLogger("levada.api")

_encode = msgspec.json.Encoder().encode

REASONS: dict[int, str] = {
    301: "Moved Permanently",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
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


def classify(error: Exception) -> ApiError | None:
    """Return the answer to an exception whose cause is known; None for a defect."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return ApiError(413, error.text)
    if isinstance(error, web.HTTPException):
        return ApiError(error.status if error.status in REASONS else 400, error.text, reason=error.reason)
    if isinstance(error, UserError):
        return _of_user(error)
    if isinstance(error, Transient):
        return ApiError(503, f"{error}; try again", headers={"Retry-After": "1"})
    if isinstance(error, web.RequestPayloadError | ConnectionError):
        return ApiError(400, f"the request body broke off: {error}")
    return None


def _of_user(error: UserError) -> ApiError:
    match error:
        case BrokenFlow():
            return illegal_state(str(error))
        case InvalidFlow():
            return invalid_entity(of_problems(error.problems))
        case InvalidInputs():
            found = [FieldError(problem.message, f"inputs.{problem.path}") for problem in error.problems]
            return ApiError(422, str(error), reason="Invalid entity", errors=found)
        case Exists():
            return invalid_entity([FieldError("Flow id already exists", "flow.id")])
        case FileMissing() | Missing():
            return ApiError(404, str(error))
        case Refused(status=status) if status != 422:
            return ApiError(status, str(error).removeprefix(f"{REASONS.get(status, '')}: "))
    return illegal_argument(str(error).removeprefix("Illegal argument: "))


def of_problems(problems: Iterable[Problem]) -> list[FieldError]:
    """Turn the problems of a flow file into findings."""
    return [FieldError(each.message, each.path or None, each.line, each.column) for each in problems]


def answer(error: Exception, method: str, href: str, new_id: Any) -> web.Response:
    """Return the response for whatever a handler raised; `new_id` draws the id of an unexpected one."""
    known = classify(error)
    if known is None:
        number = new_id()
        log.error("request %s %s failed, error id %s", method, href, number, exc_info=error)
        known = ApiError(500, f"error id {number}; the server's log has the cause")
    return web.Response(
        status=known.status,
        reason=None,
        body=body(known, href),
        content_type="application/json",
        headers=known.headers,
    )
