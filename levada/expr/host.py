"""What an expression may ask of the world around it.

The language itself is pure. The clock, randomness and every service (secrets, key-value pairs, files, HTTP, …) are reached
through the `Host` that the caller hands in; where the caller has none, the functions that need it fail and say so.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from levada.expr.errors import ExpressionError


class Ambient(Protocol):
    """The present moment and randomness."""

    def now(self) -> datetime:
        """Return the present moment, with a time zone; that zone is the default of `now()`."""
        ...

    def random_bytes(self, n: int) -> bytes:
        """Return `n` random bytes fit for identifiers."""
        ...


class Host(Ambient, Protocol):
    """The present moment, randomness, and the functions that another service performs."""

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Perform the registered function `name`; may block. Raises a LevadaError that the user will see."""
        ...


def service(host: Host | None, name: str) -> Host:
    """Return the host, or say that function `name` cannot be performed here."""
    if host is None:
        raise ExpressionError(f"function `{name}` needs a service that is not available here")
    return host
