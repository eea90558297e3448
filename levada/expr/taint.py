"""Secrets keep their mark: whatever text derives from a secret is a `Secret` too.

A `Secret` is an ordinary str for everybody who uses it, so a password can be handed to a driver as it is. It differs in
two ways: its repr never shows it, and `secrets_in` finds it, so that logs, outputs and previews can be masked. Python's own
string methods return plain str; the operators and filters of the language therefore put the mark back through `derive`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MASK = "******"


class Secret(str):
    """A text that must not be shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"


def is_tainted(value: Any) -> bool:
    """Tell whether a secret is anywhere inside `value`; linear even where the same list is reachable many times."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return False
    return kind is Secret or (isinstance(value, _CONTAINERS) and _holds_secret(value))


_CONTAINERS = (dict, list, tuple, set, frozenset)


def _holds_secret(root: Any) -> bool:
    seen: set[int] = set()
    pending = [root]
    while pending:
        value = pending.pop()
        if type(value) is Secret:
            return True
        if not isinstance(value, _CONTAINERS) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            pending.extend(value)
            pending.extend(value.values())
        else:
            pending.extend(value)
    return False


def derive(result: Any, sources: Iterable[Any]) -> Any:
    """Return `result` with the mark of what it was made from.

    A text is secret when one of `sources` is tainted. Data is secret throughout when it was made from a secret text (think of
    `fromJson(secret('x'))`); made from other data, its items carry their own marks.
    """
    if type(result) is str:
        return Secret(result) if any(is_tainted(source) for source in sources) else result
    if isinstance(result, list | dict) and any(type(source) is Secret for source in sources):
        return conceal(result)
    return result


def conceal(value: Any) -> Any:
    """Return `value` with every text inside it marked as secret."""
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, Mapping):
        return {key: conceal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [conceal(item) for item in value]
    return value


def reveal(value: Any) -> Any:
    """Return `value` with plain str in place of every Secret, for codecs that know only str."""
    if isinstance(value, Secret):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {reveal(key): reveal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [reveal(item) for item in value]
    return value


def secrets_in(value: Any) -> Iterator[str]:
    """Yield the plain text of every secret inside `value`, empty ones left out."""
    if isinstance(value, Secret):
        if value:
            yield str.__str__(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from secrets_in(key)
            yield from secrets_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from secrets_in(item)
