"""The registry of types: from the name in a flow to the class that declares it.

Names are looked up in three spellings: canonical (`core.log.Log`), full (`io.kestra.plugin.core.log.Log`) and the
aliases a class lists (old names, full). Two classes that claim one name are refused when the registry is built.
"""

import difflib
from collections.abc import Iterable

from levada.model.errors import Defect
from levada.sdk.task import Condition, Task, Trigger

PREFIX = "io.kestra.plugin."

Declared = type[Task] | type[Trigger] | type[Condition]


def canonical(name: str) -> str:
    """Return the short form of a type name: without `io.kestra.plugin.`; other names stay as they are."""
    return name.removeprefix(PREFIX)


class Registry:
    """All types of one process. Immutable once built."""

    def __init__(self, types: Iterable[Declared], known: Iterable[str] = ()) -> None:
        """`known` are canonical names of types that exist in Kestra but have no class here: warned about, not refused."""
        self._types: dict[str, Declared] = {}
        self.known = frozenset(known)
        for declared in types:
            for name in (declared.TYPE, *declared.ALIASES):
                key = canonical(name)
                if self._types.setdefault(key, declared) is not declared:
                    raise Defect(f"{declared.__qualname__} and {self._types[key].__qualname__} both claim {key}")

    def find(self, name: str) -> Declared | None:
        return self._types.get(canonical(name))

    def task(self, name: str) -> type[Task] | None:
        found = self.find(name)
        return found if found is not None and issubclass(found, Task) else None

    def trigger(self, name: str) -> type[Trigger] | None:
        found = self.find(name)
        return found if found is not None and issubclass(found, Trigger) else None

    def condition(self, name: str) -> type[Condition] | None:
        found = self.find(name)
        return found if found is not None and issubclass(found, Condition) else None

    def all(self) -> list[Declared]:
        """Every declared type once, by canonical name."""
        return sorted(set(self._types.values()), key=lambda declared: declared.TYPE)

    def nearest(self, name: str) -> list[str]:
        """Return up to three known names that look like `name`, for error messages."""
        return difflib.get_close_matches(canonical(name), [*self._types, *self.known], n=3)
