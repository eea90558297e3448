"""Values on their way into Postgres and out of it.

In: parameters come from YAML and expressions, so they are mostly text; `encoder` reads a text as what the statement expects
in that place. Out: `decoder` gives every type a JSON form. Dates and times become ISO text, intervals ISO durations,
`bytea` base64, `json` the data itself, arrays lists, composite types maps, everything without a form of its own its text.
A `numeric` becomes a number where a JSON number holds it exactly, else text: amounts are never rounded silently.
"""

import base64
import binascii
import ipaddress
import json
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import msgspec

from levada.expr import instants
from levada.model.errors import UserError

Convert = Callable[[Any], Any]

#: JSON has no numbers for these; the texts are those of Postgres.
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


# --- out of the database


def decoder(type_name: str) -> Convert:
    """Return what turns values of a column into JSON data; `type_name` is asyncpg's, as `int4` or `jsonb[]`."""
    plain = type_name.removesuffix("[]")
    if plain in ("json", "jsonb"):
        return _nested(msgspec.json.decode)
    if plain in ("int2", "int4", "int8", "bool", "text", "varchar", "bpchar", "name", "oid") and plain == type_name:
        return _same
    return _nested(_plain)


def _same(value: Any) -> Any:
    return value


def _nested(convert: Convert) -> Convert:
    def walk(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, list):
            return [walk(item) for item in value]
        return convert(value)

    return walk


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else _NOT_FINITE[str(value)]
        case Decimal():
            return _number(value)
        case datetime() | date() | time():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return instants.duration_text(value)
        case bytes():
            return base64.b64encode(value).decode()
        case list() | tuple() if not hasattr(value, "keys"):
            return [_plain(item) for item in value]
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
    return _structured(value)


def _structured(value: Any) -> Any:
    """Give asyncpg's own types a form: composite values, ranges, bit strings."""
    if hasattr(value, "keys"):
        return {name: _plain(item) for name, item in value.items()}
    if hasattr(value, "lower_inc"):
        if value.isempty:
            return "empty"
        lower, upper = _plain(value.lower), _plain(value.upper)
        ends = "[" if value.lower_inc else "(", "]" if value.upper_inc else ")"
        return f"{ends[0]}{'' if lower is None else lower},{'' if upper is None else upper}{ends[1]}"
    return value.as_string() if hasattr(value, "as_string") else str(value)


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and value.as_tuple().exponent == 0:
        return int(value)
    near = float(value)
    return near if math.isfinite(near) and Decimal(repr(near)) == value else f"{value:f}"


# --- into the database


def encoder(type_name: str) -> Convert:
    """Return what turns a value from a flow into what asyncpg sends for a parameter of this type.

    The converter raises ValueError saying what would be right.
    """
    if type_name.endswith("[]"):
        item = encoder(type_name.removesuffix("[]"))
        return lambda value: None if value is None else [item(entry) for entry in _list(value)]
    convert = _ENCODERS.get(type_name, _as_is)
    return lambda value: None if value is None else convert(value)


def _as_is(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list) else str(value)


def _integer(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return int(value) if isinstance(value, str | int) else int("")
    except ValueError:
        raise ValueError("a whole number is needed") from None


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError("a number is needed") from None


def _decimal(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError("a number is needed") from None


def _boolean(value: Any) -> bool:
    match value:
        case bool():
            return value
        case 0 | 1:
            return bool(value)
        case str() if value.strip().lower() in ("true", "t", "yes", "on", "1"):
            return True
        case str() if value.strip().lower() in ("false", "f", "no", "off", "0"):
            return False
    raise ValueError("true or false is needed")


def _moment(value: Any) -> datetime:
    try:
        return instants.moment(value)
    except UserError:
        raise ValueError("a date and time such as 2026-01-31T10:00:00Z is needed") from None


def _local_moment(value: Any) -> datetime:
    """A `timestamp` has no zone: what is written is kept, an offset is dropped as the database itself does."""
    return _moment(value).replace(tzinfo=None)


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return instants.moment(value).date()
    except UserError:
        raise ValueError("a date such as 2026-01-31 is needed") from None


def _time(value: Any) -> time:
    try:
        return value if isinstance(value, time) else time.fromisoformat(str(value))
    except ValueError:
        raise ValueError("a time such as 10:00:00 is needed") from None


def _interval(value: Any) -> timedelta:
    try:
        return value if isinstance(value, timedelta) else instants.parse_duration(str(value))
    except UserError:
        raise ValueError("an ISO 8601 duration such as PT1H is needed") from None


def _uuid(value: Any) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise ValueError("a UUID is needed") from None


def _json(value: Any) -> str:
    """A text that is JSON is sent as it is; any other value as the JSON of it."""
    if isinstance(value, str):
        try:
            msgspec.json.decode(value)
        except msgspec.DecodeError:
            return json.dumps(value)
        return value
    return msgspec.json.encode(value).decode()


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(str(value), validate=True)
    except binascii.Error:
        raise ValueError("base64 text is needed for bytea") from None


def _network(value: Any) -> Any:
    try:
        return ipaddress.ip_interface(str(value)) if "/" in str(value) else ipaddress.ip_address(str(value))
    except ValueError:
        raise ValueError("an IP address is needed") from None


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("a list, or the JSON text of one, is needed") from None
    if isinstance(value, list | tuple):
        return list(value)
    raise ValueError("a list is needed")


_ENCODERS: dict[str, Convert] = {
    "int2": _integer,
    "int4": _integer,
    "int8": _integer,
    "oid": _integer,
    "float4": _float,
    "float8": _float,
    "numeric": _decimal,
    "bool": _boolean,
    "text": _text,
    "varchar": _text,
    "bpchar": _text,
    "name": _text,
    "unknown": _text,
    "timestamptz": _moment,
    "timestamp": _local_moment,
    "date": _date,
    "time": _time,
    "interval": _interval,
    "uuid": _uuid,
    "json": _json,
    "jsonb": _json,
    "bytea": _bytes,
    "inet": _network,
}
