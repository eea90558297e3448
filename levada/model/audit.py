"""The audit record: who asked for what change, and what came of it.

One record is written for every request that may change something, whatever its outcome. It is append-only: nothing in
Levada ever changes one, and only retention removes them. `details` names things (parameters, counts), never contents: no
bodies, no inputs, no values of secrets. Times are epoch microseconds (UTC).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Outcome(StrEnum):
    #: It was done, or durably accepted.
    DONE = "done"
    #: The caller may not (401, 403, 421).
    DENIED = "denied"
    #: The request was wrong or came too late (other 4xx).
    REFUSED = "refused"
    #: Our side could not (5xx, or the connection was lost before the answer).
    FAILED = "failed"

    @classmethod
    def of(cls, status: int) -> Outcome:
        """Return what an HTTP status says."""
        if status < 400:
            return cls.DONE
        if status in (401, 403, 421):
            return cls.DENIED
        return cls.REFUSED if status < 500 else cls.FAILED


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`kind` and `action` are the permission that was asked for (execution:create); `object` is the id of the thing.

    `id` sorts by time. `namespace` is None for what has none; `remote` is the address that the request came from.
    """

    id: str
    at: int
    who: str
    action: str
    kind: str
    outcome: Outcome
    tenant: str = "main"
    object: str | None = None
    namespace: str | None = None
    status: int = 200
    details: dict[str, Any] = {}
    request_id: str | None = None
    remote: str | None = None
