"""Reading members: a lookup in a map or a list and nothing else, never an attribute of a Python object.

`UNDEFINED` stands for a value that does not exist. It never leaves this package: the strict readers turn it into an error,
`??`, `is defined` and `default` ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from levada.expr.errors import UndefinedVariable
from levada.expr.values import type_name


class _Undefined:
    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = _Undefined()


def member(target: Any, key: Any) -> Any:
    """Return a member of a map or an item of a list, UNDEFINED when there is none. Lazy maps are asked only for this key."""
    if isinstance(target, Mapping):
        try:
            return target[key]
        except KeyError:
            pass
        except TypeError:
            return UNDEFINED
        if isinstance(key, int) and not isinstance(key, bool) and (name := str(key)) in target:
            return target[name]
        return UNDEFINED
    if isinstance(target, list | tuple):
        return _item(target, key)
    return UNDEFINED


def _item(target: list[Any] | tuple[Any, ...], key: Any) -> Any:
    if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 10:
        key = int(key)
    if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < len(target):
        return target[key]
    return UNDEFINED


def undefined(names: Iterable[Any], parent: Any) -> UndefinedVariable:
    """Return the error for a member that `parent` lacks; `names` is the path down to it."""
    path = path_text(names)
    if isinstance(parent, Mapping):
        return UndefinedVariable(path, parent)
    owner = path_text(list(names)[:-1]) or "the value before it"
    if parent is None:
        return UndefinedVariable(path, hint=f"'{owner}' is null")
    if isinstance(parent, str):
        return UndefinedVariable(path, hint=f"'{owner}' is a text; if it holds JSON, use fromJson()")
    if isinstance(parent, list | tuple):
        return UndefinedVariable(path, hint=f"'{owner}' is a list of {len(parent)} items, counted from 0")
    return UndefinedVariable(path, hint=f"'{owner}' is a {type_name(parent)}")


def path_text(names: Iterable[Any]) -> str:
    """Write a path as a user would: `a.b[0]['c d']`."""
    text = ""
    for name in names:
        if isinstance(name, str) and name.isidentifier():
            text += f".{name}" if text else name
        else:
            text += f"[{name!r}]" if isinstance(name, str) else f"[{name}]"
    return text
