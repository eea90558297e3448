"""The task, trigger and condition types, one file or folder per family.

A family is found, not registered: every module below this package that has a list `TASKS` of types contributes it. A
distribution of one's own adds families through the entry-point group `levada.plugins`; an entry names a module with
`TASKS` or such a list itself. `catalogue.json` lists types that exist in Kestra without a class here, so that a flow that
names one gets a warning and not an error.

Plugins may import the SDK, the expressions and the model, nothing else. A module is imported by every process that reads
flows: it must not import a heavy client library at its top, only inside `run`.
"""

import functools
import importlib
import json
import pkgutil
from collections.abc import Iterable, Iterator
from importlib import metadata, resources
from typing import Any

from levada.model.errors import UserError
from levada.sdk import Condition, Registry, Task, Trigger
from levada.sdk.registry import Declared

GROUP = "levada.plugins"
CATALOGUE = "catalogue.json"


@functools.cache
def discover() -> Registry:
    """Return the registry of all installed types, built once per process.

    Raises Defect when two types claim one name, UserError when a foreign plugin cannot be loaded.
    """
    return Registry([*built_in(), *installed()], known=known())


def built_in() -> Iterator[Declared]:
    """Yield the types of every module below this package."""
    for module in sorted(pkgutil.walk_packages(__path__, f"{__name__}."), key=lambda found: found.name):
        yield from _declared(importlib.import_module(module.name), module.name)


def installed() -> Iterator[Declared]:
    """Yield the types of other distributions. Raises UserError naming the entry point that is broken."""
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda found: found.name):
        try:
            loaded = entry.load()
        except Exception as error:
            raise UserError(f"plugin {entry.name} ({entry.value}) cannot be loaded: {error!r}") from error
        yield from _declared(loaded, f"plugin {entry.name} ({entry.value})")


def known() -> list[str]:
    """Return the canonical names in the catalogue."""
    path = resources.files(__name__) / CATALOGUE
    if not path.is_file():
        return []
    names = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{CATALOGUE} must be a JSON list of type names")
    return names


def _declared(source: Any, where: str) -> Iterable[Declared]:
    types = source if isinstance(source, list) else getattr(source, "TASKS", [])
    for declared in types:
        if not (isinstance(declared, type) and issubclass(declared, Task | Trigger | Condition)):
            raise UserError(f"{where}: TASKS must list Task, Trigger or Condition classes, but has {declared!r}")
    return list(types)
