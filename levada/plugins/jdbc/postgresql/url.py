"""From `jdbc:postgresql://host:port/database?parameters` to what asyncpg wants.

All forms of the JDBC driver are read: several hosts, a database without host, user and password as parameters. Parameters
that the driver knows and asyncpg has a word for are translated, settings of the server are passed on, tuning of the Java
driver is left out with a warning, and a parameter nobody knows is refused.
"""

from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from levada.sdk import TaskFailed

FORM: Final = "jdbc:postgresql://host:5432/database"
_PREFIXES: Final = ("jdbc:postgresql:", "postgresql:", "postgres:")
#: JDBC name -> setting of the server.
_SETTINGS: Final = {
    "applicationname": "application_name",
    "currentschema": "search_path",
    "application_name": "application_name",
    "search_path": "search_path",
    "timezone": "timezone",
    "statement_timeout": "statement_timeout",
}
_SSL: Final = {"ssl", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword"}
#: What only tunes the Java driver.
_IGNORED: Final = frozenset({
    "socketfactory", "tcpkeepalive", "tcpnodelay", "preparethreshold", "preparedstatementcachequeries",
    "preparedstatementcachesizemib", "defaultrowfetchsize", "rewritebatchedinserts", "reWriteBatchedInserts".lower(),
    "binarytransfer", "stringtype", "loglevel", "loggerlevel", "autosave", "adaptivefetch", "gssencmode", "sockettimeout",
    "cancelsignaltimeout", "readonly", "disablecolumnsanitiser", "assumeminserverversion", "loadbalancehosts",
    "hostrecheckseconds", "allowencodingchanges", "prefersimplequeries", "prefer_simple", "prefermode", "prefer",
    "preferquerymode", "unknownlength", "logunclosedconnections", "sslfactory", "sslhostnameverifier", "quotereturningidentifiers",
})  # fmt: skip


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a database is. `ssl` holds the lower-case ssl parameters of the URL; `connect_timeout_s` seconds."""

    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    database: str | None
    user: str | None = None
    password: str | None = None
    settings: tuple[tuple[str, str], ...] = ()
    ssl: tuple[tuple[str, str], ...] = ()
    connect_timeout_s: float = 10.0
    target: str | None = None
    ignored: tuple[str, ...] = ()

    def shown(self) -> str:
        """Return the address for messages, without credentials."""
        places = ",".join(f"{host}:{port}" for host, port in zip(self.hosts, self.ports, strict=True))
        return f"{places}/{self.database or ''}"


def parse(url: str) -> Address:
    """Read a URL. Raises TaskFailed naming what is wrong with it."""
    prefix = next((prefix for prefix in _PREFIXES if url.strip().startswith(prefix)), None)
    if prefix is None:
        raise TaskFailed(f"property `url` must look like {FORM}, but begins with {url.strip().partition(':')[0]!r}")
    place, _, query = url.strip().removeprefix(prefix).partition("?")
    hosts: tuple[str, ...] = ("localhost",)
    ports: tuple[int, ...] = (5432,)
    user = password = None
    if place.startswith("//"):
        authority, _, place = place[2:].partition("/")
        credentials, at, authority = authority.rpartition("@")
        if at:
            user, _, secret = credentials.partition(":")
            user, password = unquote(user), unquote(secret) or None
        hosts, ports = _places(authority)
    given = parse_qsl(query, keep_blank_values=True)
    return _with_parameters(
        Address(hosts=hosts, ports=ports, database=unquote(place) or None, user=user, password=password), given
    )


def _places(authority: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    hosts, ports = [], []
    for place in authority.split(",") if authority else ["localhost"]:
        host, _, port = place.rpartition(":") if not place.endswith("]") and ":" in place else (place, "", "5432")
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise TaskFailed(f"property `url` must look like {FORM}: {port!r} is no port")
        hosts.append(unquote(host.strip("[]")) or "localhost")
        ports.append(int(port))
    return tuple(hosts), tuple(ports)


def _with_parameters(address: Address, given: list[tuple[str, str]]) -> Address:
    changes: dict[str, Any] = {}
    settings: list[tuple[str, str]] = []
    ssl: list[tuple[str, str]] = []
    ignored: list[str] = []
    for name, value in given:
        key = name.lower()
        if key in ("user", "username"):
            changes["user"] = value
        elif key == "password":
            changes["password"] = value
        elif key in ("connecttimeout", "logintimeout", "connect_timeout"):
            changes["connect_timeout_s"] = _seconds(name, value)
        elif key == "host":
            changes["hosts"], changes["ports"] = (value,), address.ports[:1]
        elif key == "targetservertype":
            changes["target"] = {"master": "primary", "secondary": "standby"}.get(value, value)
        elif key in _SSL:
            ssl.append((key, value))
        elif key == "options":
            settings += _options(value)
        elif key in _SETTINGS:
            settings.append((_SETTINGS[key], value))
        elif key in _IGNORED:
            ignored.append(name)
        else:
            raise TaskFailed(f"property `url` has the parameter {name!r}, which has no meaning here")
    return msgspec.structs.replace(address, settings=tuple(settings), ssl=tuple(ssl), ignored=tuple(ignored), **changes)


def _options(text: str) -> list[tuple[str, str]]:
    """Read `-c name=value` pairs."""
    pairs = []
    for part in text.split("-c")[1:]:
        name, equals, value = part.strip().partition("=")
        if not equals:
            raise TaskFailed(f"property `url`: `options` must be a list of `-c name=value`, but has {part.strip()!r}")
        pairs.append((name.strip(), value.strip()))
    return pairs


def _seconds(name: str, value: str) -> float:
    try:
        return float(value) or 10.0
    except ValueError:
        raise TaskFailed(f"property `url`: {name} must be seconds, but is {value!r}") from None
