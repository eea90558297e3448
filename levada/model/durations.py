"""ISO 8601 durations: text to microseconds and back.

Flow files, the API and the key-value store all write durations the way Java's `Duration` does, so this module follows its
grammar: days, hours, minutes and seconds, each with its own sign, letters in either case (`PT0.25s`). Weeks are accepted
too, because they have a fixed length; years and months have none and are refused. It must never guess: a bare number or
`5 minutes` is an error.
"""

import re

from levada.model.errors import UserError

MICROSECOND = 1
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
#: Durations are stored as 64-bit integers.
LIMIT = 2**63 - 1

_PATTERN = re.compile(
    r"(?P<sign>[-+]?)P"
    r"(?:(?P<weeks>[-+]?[0-9]{1,18})W)?"
    r"(?:(?P<days>[-+]?[0-9]{1,18})D)?"
    r"(?P<time>T"
    r"(?:(?P<hours>[-+]?[0-9]{1,18})H)?"
    r"(?:(?P<minutes>[-+]?[0-9]{1,18})M)?"
    r"(?:(?P<seconds>[-+]?[0-9]{1,18})(?:[.,](?P<fraction>[0-9]{0,9}))?S)?"
    r")?",
    re.IGNORECASE | re.ASCII,
)
_UNITS = {"weeks": WEEK, "days": DAY, "hours": HOUR, "minutes": MINUTE, "seconds": SECOND}


class BadDuration(UserError):
    """The text is not an ISO 8601 duration."""

    def __init__(self, text: str) -> None:
        super().__init__(f"`{text[:80]}` is not an ISO 8601 duration; write it like PT30S, PT5M or P1DT12H")


def parse(text: str) -> int:
    """Return the duration in microseconds (finer fractions are cut off); raises BadDuration."""
    found = _PATTERN.fullmatch(text.strip())
    if found is None or found["time"] in ("T", "t"):
        raise BadDuration(text)
    parts = {name: found[name] for name in _UNITS if found[name] is not None}
    if not parts:
        raise BadDuration(text)
    total = sum(int(value) * _UNITS[name] for name, value in parts.items())
    if found["fraction"]:
        fraction = int(found["fraction"].ljust(9, "0")[:6])
        total += -fraction if found["seconds"].startswith("-") else fraction
    if found["sign"] == "-":
        total = -total
    if abs(total) > LIMIT:
        raise BadDuration(text)
    return total


def format(microseconds: int) -> str:
    """Return the text that Java's `Duration.toString` gives: `PT75H2M1S`, `PT-1.5S`, `PT0S`; days become hours."""
    if microseconds == 0:
        return "PT0S"
    sign = "-" if microseconds < 0 else ""
    whole, fraction = divmod(abs(microseconds), SECOND)
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    out = "PT"
    if hours:
        out += f"{sign}{hours}H"
    if minutes:
        out += f"{sign}{minutes}M"
    if seconds or fraction:
        digits = f".{fraction:06d}".rstrip("0") if fraction else ""
        out += f"{sign}{seconds}{digits}S"
    return out
