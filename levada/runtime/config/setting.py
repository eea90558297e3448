"""How a single setting is declared and how its text becomes a value.

A setting is a field of a frozen dataclass. Its type says what it may be, its metadata the rest: what it is for, its range,
its unit, whether it must be masked. All sources (file, environment, options) are text and go through the same `parse`, so
`15s` means the same everywhere, and `on`, `no` or `0x10` in a file are not silently something else.

Reads nothing and knows no particular setting; those are in `tree`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_type_hints
from urllib.parse import urlsplit, urlunsplit

Kind = Literal["text", "integer", "number", "boolean", "seconds", "bytes", "path", "list", "map"]

MASK = "********"


@dataclass(frozen=True, slots=True)
class Spec:
    """What is known of a setting besides its name."""

    doc: str
    kind: Kind
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    secret: bool = False
    optional: bool = False


def setting(
    default: Any,
    doc: str,
    *,
    kind: Kind | None = None,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """Declare a setting. `kind` is needed where the type does not tell (`seconds`, `bytes`), or where it is None at first."""
    spec = Spec(doc, kind or _kind_of(default), low, high, choices, secret, optional=default is None)
    if isinstance(default, Mapping):
        return dataclasses.field(default_factory=lambda: MappingProxyType(dict(default)), metadata={"setting": spec})
    return dataclasses.field(default=default, metadata={"setting": spec})


def specs(section: type[Any], prefix: str = "") -> dict[str, Spec]:
    """Return every setting of a section and its sub-sections by path (`worker.slots`), in the order of declaration."""
    found: dict[str, Spec] = {}
    hints = get_type_hints(section)
    for field in dataclasses.fields(section):
        path = f"{prefix}{field.name}"
        if "setting" in field.metadata:
            found[path] = field.metadata["setting"]
        else:
            found |= specs(hints[field.name], f"{path}.")
    return found


def parse(spec: Spec, text: str) -> Any:
    """Return the value that `text` spells. Raises ValueError saying what would be right."""
    if spec.optional and not text.strip():
        return None
    value = PARSERS[spec.kind](text.strip())
    if spec.choices and value not in spec.choices:
        raise ValueError(f"must be one of {', '.join(spec.choices)}, is {text!r}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        _check_range(spec, value, text)
    return value


def shown(spec: Spec, value: Any) -> str:
    """Return a value as a person would write it, a secret as a mask; of an address only the password is masked."""
    if spec.secret and value not in (None, ""):
        return _masked(str(value))
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case tuple():
            return ",".join(value)
        case Mapping():
            return json.dumps(dict(value), ensure_ascii=False)
        case float() if spec.kind == "seconds":
            return f"{value:g}s"
        case int() if spec.kind == "bytes":
            return _shown_bytes(value)
    return str(value)


# --- from text to values

UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SHORT_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)?")
ISO_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.IGNORECASE)
UNITS_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(b|[kmg](?:i?b)?)?", re.IGNORECASE)


def seconds(text: str) -> float:
    """Return the seconds in `15s`, `2m`, `500ms`, `1.5` (seconds) or ISO 8601's `PT15S`. Raises ValueError."""
    short = SHORT_DURATION.fullmatch(text)
    if short is not None:
        return float(short[1]) * UNITS_S[short[2] or "s"]
    iso = ISO_DURATION.fullmatch(text)
    if iso is None or not any(iso.groups()):
        raise ValueError(f"must be a duration such as 15s, 2m, 500ms or PT15S, is {text!r}")
    return sum(float(part) * unit for part, unit in zip(iso.groups("0"), (86400, 3600, 60, 1), strict=True))


def size(text: str) -> int:
    """Return the bytes in `10MiB`, `256k` or `1024`; units are powers of 1024. Raises ValueError."""
    found = BYTES.fullmatch(text)
    if found is None:
        raise ValueError(f"must be a size such as 10MiB, 256KiB or 1024, is {text!r}")
    return int(float(found[1]) * UNITS_BYTES[(found[2] or "")[:1].lower()])


def _shown_bytes(value: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= factor and value % factor == 0:
            return f"{value // factor}{unit}"
    return str(value)


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d[\d_]*", text):
        raise ValueError(f"must be a whole number, is {text!r}")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number, is {text!r}") from None


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("true", "yes", "on", "1"):
        return True
    if lowered in ("false", "no", "off", "0"):
        return False
    raise ValueError(f"must be true or false, is {text!r}")


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _map(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f'must be a JSON object such as {{"key": "value"}}: {error}') from None
    if not isinstance(value, dict):
        raise ValueError(f"must be a JSON object, is {text!r}")  # noqa: TRY004  (a wrong text, not a wrong type)
    return MappingProxyType(value)


def _path(text: str) -> Path:
    return Path(text).expanduser()


PARSERS: Mapping[Kind, Callable[[str], Any]] = {
    "text": str,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "seconds": seconds,
    "bytes": size,
    "path": _path,
    "list": _list,
    "map": _map,
}
assert PARSERS.keys() == set(get_args(Kind))


def _kind_of(default: Any) -> Kind:
    match default:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "text"
        case Path():
            return "path"
        case tuple():
            return "list"
        case Mapping():
            return "map"
    raise TypeError(f"a setting whose default is {default!r} needs its kind")


def _check_range(spec: Spec, value: float, text: str) -> None:
    if (spec.low is not None and value < spec.low) or (spec.high is not None and value > spec.high):
        low = "" if spec.low is None else f"at least {_bound(spec, spec.low)}"
        high = "" if spec.high is None else f"at most {_bound(spec, spec.high)}"
        raise ValueError(f"must be {' and '.join(filter(None, (low, high)))}, is {text!r}")


def _masked(value: str) -> str:
    try:
        parts = urlsplit(value)
        if parts.scheme and parts.hostname is not None and not parts.query:
            netloc = parts.netloc.rpartition("@")
            user = netloc[0].partition(":")[0]
            return urlunsplit(parts._replace(netloc=f"{user}:{MASK}@{netloc[2]}" if netloc[1] else netloc[2]))
    except ValueError:  # not an address after all
        return MASK
    return MASK


def _bound(spec: Spec, bound: float) -> str:
    if spec.kind == "seconds":
        return f"{bound:g}s"
    return _shown_bytes(int(bound)) if spec.kind == "bytes" else f"{bound:g}"
