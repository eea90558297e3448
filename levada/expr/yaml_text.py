"""YAML in and out, by the core schema of YAML 1.2: `yes` and dates are texts, only true and false are booleans.

Merge keys are not resolved, for a few of them can be made to expand without end; aliases are, since they only share.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import yaml

from levada.expr import budgets, instants, json_text
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame
from levada.expr.taint import Secret

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
MAX_CHARS: Final = 1 << 18
# The loader written in C recurses for every level and runs off the stack's end (some 20,000 levels) instead of raising. A
# text that opens fewer levels than this is loaded as it is; block mappings nest by indentation, which MAX_CHARS bounds.
_HARMLESS_LEVELS: Final = 1_000
_RESOLVERS: Final = (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ("~", "n", "N", "")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
     "-+0123456789."),
)  # fmt: skip


class _Reader(_Loader):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def flatten_mapping(self, node: Any) -> None:
        """Leave `<<` as an ordinary key."""


class _Writer(_Dumper):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        """Write shared values in full; they have been measured that way."""
        return True


for _class in (_Reader, _Writer):
    for _tag, _pattern, _first in _RESOLVERS:
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def _integer(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node)
    if len(text) > budgets.MAX_INT_BITS // 4:
        raise ExpressionError("a number in the YAML text has too many digits")
    sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text.lstrip("+"))
    base = {"0o": 8, "0x": 16}.get(digits[:2], 10)
    return sign * int(digits[2:] if base != 10 else digits, base)


_Reader.add_constructor("tag:yaml.org,2002:int", _integer)
_Reader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))


def _text(writer: Any, value: str) -> Any:
    return writer.represent_scalar("tag:yaml.org,2002:str", str.__str__(value), style="|" if "\n" in value else None)


_Writer.add_representer(str, _text)
_Writer.add_representer(Secret, _text)
for _kind in (date, datetime, time, timedelta):
    _Writer.add_representer(_kind, lambda writer, value: _text(writer, _shown(value)))
_Writer.add_representer(tuple, lambda writer, value: writer.represent_list(list(value)))
_Writer.add_representer(Decimal, lambda writer, value: writer.represent_scalar("tag:yaml.org,2002:float", f"{value:f}"))
_Writer.add_multi_representer(Mapping, lambda writer, value: writer.represent_dict(dict(value)))


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return instants.java_text(value) if isinstance(value, timedelta) else value.isoformat()


def load(text: str, frame: Frame) -> Any:
    """Parse one YAML document; keys become texts. Raises ExpressionError."""
    if len(text) > MAX_CHARS:
        raise ExpressionError(f"the YAML text has {len(text):,} characters; at most {MAX_CHARS:,} are read")
    frame.charge(len(text) // 64)
    try:
        _check_nesting(text)
        # The loader is a safe one with fewer rules than PyYAML's own.
        found = yaml.load(text, Loader=_Reader)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as problem:
        raise ExpressionError(f"the text is not YAML: {' '.join(str(problem).split())[:200]}") from problem
    json_text.measure(found, frame)
    return _data(found)


def _check_nesting(text: str) -> None:
    """Refuse what nests too deeply, by the flat stream of events."""
    if sum(map(text.count, "[{-?")) < _HARMLESS_LEVELS:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            budgets.check_depth(depth)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _data(value: Any) -> Any:
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _key(key): _data(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_data(item) for item in value]
    return value


def _key(key: Any) -> str:
    return {None: "null", True: "true", False: "false"}.get(key, str(key)) if isinstance(key, bool | None) else str(key)


def dump(value: Any, frame: Frame) -> str:
    """Return a value as YAML in block style; a Secret when a secret is inside."""
    secret = json_text.measure(value, frame)
    try:
        text: str = yaml.dump(
            value, Dumper=_Writer, sort_keys=False, default_flow_style=False, allow_unicode=True, width=1 << 20
        )
    except (yaml.YAMLError, TypeError, ValueError) as problem:
        raise ExpressionError(f"the value cannot be written as YAML: {problem}") from problem
    budgets.check_text(len(text))
    text = text.removesuffix("...\n")
    return Secret(text) if secret else text
