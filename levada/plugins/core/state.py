"""`core.state.*` (Kestra 1.x): small values kept per flow or namespace, and per loop value, in the key-value store."""

from typing import Any

from levada.sdk import Task


class Set(Task):
    """Merges data into a state."""

    TYPE = "core.state.Set"
    ALIASES = ("io.kestra.core.tasks.states.Set",)
    DEPRECATED = True

    data: dict[str, Any] | None = None
    name: str = "default"
    namespace: bool = False
    taskrun_value: bool = True


class Get(Task):
    """Reads a state."""

    TYPE = "core.state.Get"
    ALIASES = ("io.kestra.core.tasks.states.Get",)
    DEPRECATED = True

    name: str = "default"
    namespace: bool = False
    taskrun_value: bool = True
    error_on_missing: bool = False


class Delete(Task):
    """Deletes a state."""

    TYPE = "core.state.Delete"
    ALIASES = ("io.kestra.core.tasks.states.Delete",)
    DEPRECATED = True

    name: str = "default"
    namespace: bool = False
    taskrun_value: bool = True
    error_on_missing: bool = False


TASKS = [Set, Get, Delete]
