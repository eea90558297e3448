"""Which answer a client gets when something is wrong; how answers look is said in levada/runtime/answers.py.

`answer` decides by whose fault it was. A user's error never becomes a 500; a 500 always has an id that is in the log
together with the traceback, and says nothing about our insides.
"""

import logging
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from levada.engine import Refused
from levada.engine.inputs import InvalidInputs
from levada.files.errors import FileMissing
from levada.flowfile import BrokenFlow, InvalidFlow, Problem
from levada.model.errors import Transient, UserError
from levada.runtime.answers import (
    REASONS,
    ApiError,
    FieldError,
    bad_request,
    body,
    illegal_argument,
    illegal_state,
    invalid_entity,
    not_found,
    too_large,
    unprocessable,
)
from levada.runtime.webhooks import masked
from levada.store.port import Exists, Missing

log = logging.getLogger("levada.api")

__all__ = [
    "REASONS",
    "ApiError",
    "FieldError",
    "answer",
    "bad_request",
    "body",
    "classify",
    "illegal_argument",
    "illegal_state",
    "invalid_entity",
    "not_found",
    "of_problems",
    "too_large",
    "unprocessable",
]


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
        log.error("request %s %s failed, error id %s", method, masked(href), number, exc_info=error)
        known = ApiError(500, f"error id {number}; the server's log has the cause")
    return web.Response(
        status=known.status,
        reason=None,
        body=body(known, href),
        content_type="application/json",
        headers=known.headers,
    )
