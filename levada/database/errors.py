"""Which errors of Postgres mean "try again later".

`translated` turns those into `Transient`; everything else (a constraint, a syntax error, wrong argument types) passes as
it is, because repeating it would change nothing. A `Transient` raised while committing says nothing about whether the
transaction happened: whoever must know reads again.

`unreached` is for the start of a connection, where more passes: a password that is refused today is right again as soon as
somebody has put it right, on either side, and nobody should have to restart a service for that. Its texts name the server
and the setting, and never the password.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from levada.model.errors import Transient, UserError

SETTING = "database.url (LEVADA_DATABASE_URL)"
DISK_FULL = "53100"
NO_PRIVILEGE = "42501"

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
    NO_PRIVILEGE,  # until somebody grants it
    "55P03",  # lock not available
})  # fmt: skip


def translated(error: BaseException) -> BaseException:
    """Return the `Transient` that `error` amounts to, or `error` itself."""
    if isinstance(error, TimeoutError):
        return Transient("Postgres did not answer in time")
    if isinstance(error, OSError):
        return Transient(f"Postgres cannot be reached: {error}")
    code = getattr(error, "sqlstate", None)
    if code == DISK_FULL:
        what = str(error).partition("\n")[0]
        return Transient(f"Postgres has no space left on its disk; free some, it goes on by itself: {what} ({code})")
    if code == NO_PRIVILEGE:
        return Transient(
            f"the user of {SETTING} lacks a privilege; make it the owner of the database: {error} ({code})"
        )
    if code is not None and (code[:2] in TRANSIENT_CLASSES or code in TRANSIENT_CODES):
        return Transient(f"Postgres refused for the moment: {error} ({code})")
    if code is None and _is_connection_state(error):
        return Transient(f"the connection to Postgres is gone: {error}")
    return error


@dataclass(frozen=True, slots=True)
class _Address:
    """What of a DSN may be told to people."""

    place: str
    user: str
    database: str


def unreached(error: BaseException, dsn: str, timeout_s: float) -> BaseException:
    """Return the error of a connection that did not come about: Transient or UserError that say what to do, or itself."""
    to = _address(dsn)
    match error:
        case ssl.SSLError():
            said = f"TLS with Postgres at {to.place} failed ({error}); correct sslmode and certificates in {SETTING}"
        case socket.gaierror():
            said = f"Postgres cannot be reached: there is no host {to.place}; correct {SETTING}"
        case TimeoutError():
            said = f"Postgres at {to.place} did not answer within {timeout_s:g} s"
        case OSError():
            said = f"Postgres at {to.place} cannot be reached: {_reason(error)}. Start it, or correct {SETTING}"
        case ValueError():
            return UserError(f"{SETTING} can not be used: {error}")
        case _:
            return _refused(error, to)
    return Transient(said)


def _refused(error: BaseException, to: _Address) -> BaseException:
    """Return what an answer of the server means that was no welcome."""
    code: Any = getattr(error, "sqlstate", None) or ""
    match code:
        case "28P01" | "28000":
            return Transient(
                f"Postgres at {to.place} refuses user `{to.user}`; correct user and password in {SETTING}, or the server's "
                f"roles and pg_hba.conf: {error} ({code})"
            )
        case "3D000":
            return Transient(
                f"Postgres at {to.place} has no database `{to.database}`; create it, or correct {SETTING} ({code})"
            )
        case "53300":
            return Transient(
                f"Postgres at {to.place} has no connection left; raise its max_connections, or lower database.pool_size: "
                f"{error} ({code})"
            )
    if "ClientConfigurationError" in {kind.__name__ for kind in type(error).__mro__}:
        return UserError(f"{SETTING} can not be used: {error}")
    return translated(error)


def _address(dsn: str) -> _Address:
    """Read a DSN as far as it can be read."""
    try:
        parts = urlsplit(dsn)
        place, port = parts.hostname, parts.port
    except ValueError:
        return _Address("the address given", "", "")
    asked = parse_qs(parts.query)
    place = place or ",".join(asked.get("host", [])) or "localhost"
    if port is not None:
        place = f"[{place}]:{port}" if ":" in place else f"{place}:{port}"
    user = parts.username or "".join(asked.get("user", []))
    return _Address(place, unquote(user or ""), unquote(parts.path.lstrip("/")))


def _reason(error: OSError) -> str:
    """Return what the system said, without asyncio's own words around it."""
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        return "nothing listens there; if it should, its own log says why not"
    return error.strerror or str(error) or type(error).__name__


def _is_connection_state(error: BaseException) -> bool:
    """asyncpg's InterfaceError covers both a lost connection and wrong arguments; its subclass DataError is the latter."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"InterfaceError", "InternalClientError"}) and "DataError" not in names
