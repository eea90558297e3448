"""Filters on text. Null stays null; numbers and booleans are taken by their text; maps and lists are refused."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus

from levada.expr import budgets, patterns, values
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame
from levada.expr.registry import filter_
from levada.expr.taint import derive


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list | tuple | set | Mapping):
        raise ExpressionError(f"this filter works on a text, not on a {values.type_name(value)}")
    return values.scalar_text(value)


@filter_("upper")
def upper(value: Any) -> str | None:
    """Upper case."""
    return None if value is None else _text(value).upper()


@filter_("lower")
def lower(value: Any) -> str | None:
    """Lower case."""
    return None if value is None else _text(value).lower()


@filter_("capitalize")
def capitalize(value: Any) -> str | None:
    """The first letter in upper case, the others unchanged."""
    if value is None:
        return None
    text = _text(value)
    first = len(text) - len(text.lstrip())
    return text[:first] + text[first : first + 1].upper() + text[first + 1 :]


@filter_("title")
def title(value: Any) -> str | None:
    """The first letter of each word in upper case."""
    if value is None:
        return None
    out, at_start = [], True
    for char in _text(value):
        out.append(char.upper() if at_start else char)
        at_start = char.isspace()
    return "".join(out)


@filter_("trim")
def trim(value: Any) -> str | None:
    """Without white space at both ends."""
    return None if value is None else _text(value).strip()


@filter_("condense")
def condense(value: Any) -> str | None:
    """Without white space at both ends, and with single blanks inside."""
    return None if value is None else " ".join(_text(value).split())


@filter_("string")
def string(frame: Frame, value: Any) -> str:
    """The value as a text; maps and lists as JSON."""
    return values.text(value, frame)


@filter_("abbreviate")
def abbreviate(value: Any, length: Any) -> str | None:
    """At most `length` characters, the last three of them dots where something was cut."""
    if value is None:
        return None
    text, most = _text(value), values.whole_number(length, "`length`")
    if most < 0:
        raise ExpressionError("`length` must not be negative")
    if len(text) <= most:
        return text
    return text[:most] if most < 4 else text[: most - 3] + "..."


@filter_("slugify")
def slugify(value: Any) -> str | None:
    """Lower-case letters, digits and dashes, fit for a URL."""
    if value is None:
        return None
    plain = unicodedata.normalize("NFKD", _text(value)).encode("ascii", "ignore").decode().lower()
    words = "".join(char if char.isalnum() or char in "-_ \t\n" else "" for char in plain).replace("_", "-").split()
    return "-".join(part for word in words for part in word.split("-") if part)


@filter_("replace")
def replace(frame: Frame, value: Any, replace_pairs: Any, regexp: Any = False) -> Any:
    """Each key of the map replaced by its value; with `regexp=true` keys are regular expressions and `$1` a group."""
    if not isinstance(replace_pairs, Mapping):
        raise ExpressionError("`replace` takes a map of what to replace by what: replace({'a': 'b'})")
    pairs = [(_text(key), "" if new is None else _text(new)) for key, new in replace_pairs.items()]
    return _replaced(frame, value, pairs, regexp=regexp is True)


def _replaced(frame: Frame, value: Any, pairs: list[tuple[str, str]], *, regexp: bool) -> Any:
    """Replace in a text, or in every text inside a map or list."""
    if value is None:
        return None
    if isinstance(value, Mapping | list | tuple):
        frame.charge(1 + len(value) // budgets.VALUES_PER_STEP)
        with frame.deeper():
            if isinstance(value, Mapping):
                return {key: _replaced(frame, item, pairs, regexp=regexp) for key, item in value.items()}
            return [_replaced(frame, item, pairs, regexp=regexp) for item in value]
    text = _text(value)
    for old, new in pairs:
        if regexp:
            text = patterns.replace(text, old, new, frame)
        elif old:
            budgets.check_text(len(text) + text.count(old) * (len(new) - len(old)))
            text = text.replace(old, new)
    frame.charge(len(text) // budgets.CHARS_PER_STEP)
    return derive(text, (value,))


@filter_("split")
def split(frame: Frame, value: Any, delimiter: Any, limit: Any = None) -> list[str] | None:
    """The parts between matches of a regular expression; at most `limit` parts where it is positive."""
    if value is None:
        return None
    most = 0 if limit is None else values.whole_number(limit, "`limit`")
    return patterns.split(_text(value), _text(delimiter), most, frame)


@filter_("substringBefore")
def substring_before(value: Any, separator: Any) -> str | None:
    """What stands before the first separator; all of it where there is none."""
    return None if value is None else _text(value).partition(_separator(separator))[0]


@filter_("substringBeforeLast")
def substring_before_last(value: Any, separator: Any) -> str | None:
    """What stands before the last separator; all of it where there is none."""
    if value is None:
        return None
    before, found, after = _text(value).rpartition(_separator(separator))
    return before if found else after


@filter_("substringAfter")
def substring_after(value: Any, separator: Any) -> str | None:
    """What stands behind the first separator; nothing where there is none."""
    return None if value is None else _text(value).partition(_separator(separator))[2]


@filter_("substringAfterLast")
def substring_after_last(value: Any, separator: Any) -> str | None:
    """What stands behind the last separator; nothing where there is none."""
    if value is None:
        return None
    _, found, after = _text(value).rpartition(_separator(separator))
    return after if found else ""


def _separator(value: Any) -> str:
    text = values.plain_text(value, "`separator`")
    if not text:
        raise ExpressionError("`separator` must not be empty")
    return text


@filter_("startsWith")
def starts_with(text: Any, value: Any) -> bool:
    """Whether the text begins with another."""
    return text is not None and _text(text).startswith(_text(value))


@filter_("endsWith")
def ends_with(text: Any, value: Any) -> bool:
    """Whether the text ends with another."""
    return text is not None and _text(text).endswith(_text(value))


def _indented(value: Any, amount: Any, prefix: Any, *, first: bool) -> str | None:
    if value is None:
        return None
    text, by = _text(value), values.whole_number(amount, "`amount`")
    if by < 0:
        raise ExpressionError("`amount` must not be negative")
    # The first kind of line end found is taken for all of them.
    newline = next((end for end in ("\r\n", "\n", "\r") if end in text), "\n")
    lines = text.split(newline)
    unit = _text(prefix)
    budgets.check_text(len(text) + (len(lines) + 1) * len(unit) * by)
    pad = unit * by
    return (newline + pad if first else "") + (newline + pad).join(lines)


@filter_("indent")
def indent(value: Any, amount: Any, prefix: Any = " ") -> str | None:
    """Each line but the first moved in by `amount` times the prefix."""
    return _indented(value, amount, prefix, first=False)


@filter_("nindent")
def nindent(value: Any, amount: Any, prefix: Any = " ") -> str | None:
    """A new line, then each line moved in by `amount` times the prefix."""
    return _indented(value, amount, prefix, first=True)


_ESCAPES: Final = {"single": ("'", "\\'"), "double": ('"', '\\"'), "shell": ("'", "'\\''")}


@filter_("escapeChar")
def escape_char(value: Any, type: Any) -> str | None:
    """Quotes made safe inside a `single`- or `double`-quoted text or a `shell` word."""
    if value is None:
        return None
    if type not in _ESCAPES:
        raise ExpressionError("`type` must be 'single', 'double' or 'shell'")
    text, (quote, safe) = _text(value), _ESCAPES[type]
    budgets.check_text(len(text) + text.count(quote) * (len(safe) - 1))
    return text.replace(quote, safe)


@filter_("escape")
def escape(value: Any, strategy: Any = "html") -> str | None:
    """`html` special characters as entities."""
    if strategy not in ("html", "html_attr"):
        raise ExpressionError("`strategy` must be 'html' or 'html_attr'")
    if value is None:
        return None
    text = _text(value)
    budgets.check_text(len(text) + 5 * sum(map(text.count, "&<>\"'")))
    return html.escape(text)


@filter_("raw", taint="keep", cheap=True)
def raw(value: Any) -> Any:
    """The value as it is; nothing is escaped here anyway."""
    return value


@filter_("nl2br")
def nl2br(value: Any) -> str | None:
    """Line ends as `<br />`."""
    if value is None:
        return None
    text = _text(value).replace("\r\n", "\n")
    budgets.check_text(len(text) + 5 * text.count("\n"))
    return text.replace("\n", "<br />")


@filter_("urlencode")
def urlencode(value: Any) -> str | None:
    """Encoded for a URL query; a blank becomes a plus."""
    return None if value is None else quote_plus(_text(value), safe="*-._")


@filter_("urldecode")
def urldecode(value: Any) -> str | None:
    """Decoded from a URL query."""
    return None if value is None else unquote_plus(_text(value))


@filter_("regexMatch")
def regex_match(value: Any, regex: Any) -> bool:
    """Whether the regular expression is found in the text."""
    return value is not None and patterns.search(_text(value), _text(regex))


@filter_("regexReplace")
def regex_replace(frame: Frame, value: Any, regex: Any, replacement: Any) -> str | None:
    """Every match of the regular expression replaced; `$1` is a group."""
    return None if value is None else patterns.replace(_text(value), _text(regex), _text(replacement), frame)


@filter_("regexExtract")
def regex_extract(value: Any, regex: Any, group: Any = 0) -> str | None:
    """The first match of the regular expression, or one group of it; null where there is none."""
    return (
        None if value is None else patterns.extract(_text(value), _text(regex), values.whole_number(group, "`group`"))
    )
