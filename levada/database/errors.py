"""Which errors of Postgres mean "try again later".

`translated` turns those into `Transient`; everything else (a constraint, a syntax error, wrong argument types) passes as
it is, because repeating it would change nothing. A `Transient` raised while committing says nothing about whether the
transaction happened: whoever must know reads again.
"""

from __future__ import annotations

from levada.model.errors import Transient

#: Classes and codes of SQLSTATE that pass by themselves.
TRANSIENT_CLASSES = frozenset({
    "08",  # connection exceptions
    "40",  # rolled back: serialization, deadlock
    "53",  # out of disk, memory or connections
    "57",  # cancelled by an operator or a timeout, shutting down, starting up
    "58",  # the server's own I/O errors
})  # fmt: skip
TRANSIENT_CODES = frozenset({
    "25006",  # read-only: a standby, or a primary that was just demoted
    "25P03",  # idle in transaction for too long
    "25P04",  # transaction timeout
    "55P03",  # lock not available
})  # fmt: skip


def translated(error: BaseException) -> BaseException:
    """Return the `Transient` that `error` amounts to, or `error` itself."""
    if isinstance(error, TimeoutError):
        return Transient("Postgres did not answer in time")
    if isinstance(error, OSError):
        return Transient(f"Postgres cannot be reached: {error}")
    code = getattr(error, "sqlstate", None)
    if code is not None and (code[:2] in TRANSIENT_CLASSES or code in TRANSIENT_CODES):
        return Transient(f"Postgres refused for the moment: {error} ({code})")
    if code is None and _is_connection_state(error):
        return Transient(f"the connection to Postgres is gone: {error}")
    return error


def _is_connection_state(error: BaseException) -> bool:
    """asyncpg's InterfaceError covers both a lost connection and wrong arguments; its subclass DataError is the latter."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"InterfaceError", "InternalClientError"}) and "DataError" not in names
