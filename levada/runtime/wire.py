"""What a worker in a process of its own and the gateway on the api service say to each other: JSON over HTTP.

Both sides read the names and shapes from here. A request carries the token that all workers share; whatever it asks on
behalf of a task carries the claim of that attempt as well (`Levada-Attempt`), and reaches only as far as that task may.

An error keeps its family on the way: what was the user's fault on one side is the user's fault on the other.
"""

from typing import Any

import msgspec

from levada.files.errors import BadPath, FileMissing, TooLarge
from levada.model.commands import TaskFinished, TaskProgressed
from levada.model.errors import Defect, LevadaError, Transient, UserError
from levada.model.jobs import Held, LogEntry, MetricEntry

PREFIX = "/api/v1/worker"
ATTEMPT_HEADER = "Levada-Attempt"
#: Of a stored file that is being read: another value means that it was replaced meanwhile.
VERSION_HEADER = "Levada-File-Version"
#: Longest that a request waits for work; the worker asks again.
LONGEST_POLL_S = 60.0


class Forbidden(UserError):
    """The attempt is not this worker's any more."""


class Unwelcome(Transient):
    """The gateway does not accept this worker."""


class ClaimWanted(msgspec.Struct, frozen=True, kw_only=True):
    worker: str
    queues: list[str]
    limit: int
    timeout_s: float
    tags: list[str] = []


class CancelsWanted(msgspec.Struct, frozen=True, kw_only=True):
    worker: str
    timeout_s: float


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    worker: str
    held: list[Held]


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """Log lines or metrics of one execution, under any claim that this worker has or had of it."""

    held: Held
    logs: list[LogEntry] = []
    metrics: list[MetricEntry] = []


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """A worker says that it is there, and what it is; every few seconds."""

    worker: str
    info: dict[str, Any] = {}


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has to keep to. `lease_s`: how long it may be unheard of before its tasks are somebody else's.

    `now`: the gateway's clock, epoch microseconds; 0 from a release that did not say it.
    """

    lease_s: float
    version: str
    now: int = 0


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is not a success. `kind` is the class, `family` what to take it for if unknown."""

    family: str
    kind: str
    message: str


Results = list[TaskFinished | TaskProgressed]

_FAMILIES: dict[str, type[LevadaError]] = {"user": UserError, "transient": Transient, "defect": Defect}
_KINDS: dict[str, type[LevadaError]] = {
    kind.__name__: kind for kind in (BadPath, FileMissing, TooLarge, Forbidden, Unwelcome)
}

encode = msgspec.json.Encoder().encode


def refusal(error: LevadaError) -> tuple[int, Refusal]:
    """Return status and body for an error."""
    family, status = "defect", 500
    match error:
        case Unwelcome():
            family, status = "transient", 401
        case Forbidden():
            family, status = "user", 403
        case FileMissing():
            family, status = "user", 404
        case UserError():
            family, status = "user", 422
        case Transient():
            family, status = "transient", 503
    return status, Refusal(family=family, kind=type(error).__name__, message=str(error))


def raised(status: int, body: bytes) -> LevadaError:
    """Return the error that an answer stands for; one that no gateway wrote (a proxy's, say) is transient."""
    try:
        given = msgspec.json.decode(body, type=Refusal)
    except msgspec.DecodeError:
        shown = body[:200].decode("utf-8", "replace").strip()
        return Transient(f"the gateway answers {status}, which is no answer of a gateway: {shown!r}")
    kind = _KINDS.get(given.kind, _FAMILIES.get(given.family, Defect))
    return kind(given.message)


def attempt_header(held: Held) -> str:
    return f"{held.execution_id}/{held.task_run_id}/{held.attempt}/{held.token}"


def attempt_of(header: str | None) -> Held:
    """Return the claim that a header names. Raises Forbidden."""
    if header is None:
        raise Forbidden(f"a request for a task needs the claim of its attempt in the header {ATTEMPT_HEADER}")
    parts = header.split("/")
    if len(parts) != 4 or not parts[2].isdecimal():
        raise Forbidden(f"the header {ATTEMPT_HEADER} must be `execution/task run/attempt/token`")
    return Held(parts[0], parts[1], int(parts[2]), parts[3])
