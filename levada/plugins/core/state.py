"""`core.state.*` (Kestra 1.x): small maps kept from run to run, per flow or namespace, and per value of a loop.

They live in the key-value store of the namespace, under keys that begin with `state.`; new flows use `core.kv.*`.
"""

import hashlib
import re
from typing import Any

from levada.sdk import Outputs, RunContext, Task, TaskFailed

#: What a key of the key-value store may not hold; loop values may be any text.
_UNFIT = re.compile(r"[^a-zA-Z0-9._-]")


class SetOutputs(Outputs):
    count: int
    key: str


class Set(Task):
    """Merges data into a state."""

    TYPE = "core.state.Set"
    ALIASES = ("io.kestra.core.tasks.states.Set",)
    DEPRECATED = True

    data: dict[str, Any] | None = None
    name: str = "default"
    namespace: bool = False
    taskrun_value: bool = True

    async def run(self, ctx: RunContext) -> SetOutputs:
        """Two runs that write at the same time: the later one wins."""
        key = state_key(ctx, self.name, by_namespace=self.namespace, by_value=self.taskrun_value)
        merged = {**(await read(ctx, key) or {}), **(self.data or {})}
        await ctx.kv.put(ctx.namespace, key, merged, type="JSON")
        return SetOutputs(count=len(merged), key=key)


class GetOutputs(Outputs):
    count: int
    data: dict[str, Any]


class Get(Task):
    """Reads a state; an empty map when there is none."""

    TYPE = "core.state.Get"
    ALIASES = ("io.kestra.core.tasks.states.Get",)
    DEPRECATED = True

    name: str = "default"
    namespace: bool = False
    taskrun_value: bool = True
    error_on_missing: bool = False

    async def run(self, ctx: RunContext) -> GetOutputs:
        """Raises TaskFailed when `errorOnMissing` is true and the state was never set."""
        data = await read(ctx, state_key(ctx, self.name, by_namespace=self.namespace, by_value=self.taskrun_value))
        if data is None and self.error_on_missing:
            raise _missing(self.name)
        return GetOutputs(count=len(data or {}), data=data or {})


class DeleteOutputs(Outputs):
    deleted: bool


class Delete(Task):
    """Deletes a state."""

    TYPE = "core.state.Delete"
    ALIASES = ("io.kestra.core.tasks.states.Delete",)
    DEPRECATED = True

    name: str = "default"
    namespace: bool = False
    taskrun_value: bool = True
    error_on_missing: bool = False

    async def run(self, ctx: RunContext) -> DeleteOutputs:
        """Raises TaskFailed when `errorOnMissing` is true and the state was never set."""
        key = state_key(ctx, self.name, by_namespace=self.namespace, by_value=self.taskrun_value)
        deleted = await ctx.kv.delete(ctx.namespace, key)
        if not deleted and self.error_on_missing:
            raise _missing(self.name)
        return DeleteOutputs(deleted=deleted)


def state_key(ctx: RunContext, name: str, *, by_namespace: bool, by_value: bool) -> str:
    """Return the key of a state: its flow unless shared by the namespace, its loop value where there is one, its name."""
    parts = ["state"]
    if not by_namespace:
        parts.append(ctx.flow_id)
    value = (ctx.variables.get("taskrun") or {}).get("value") if by_value else None
    if value is not None:
        parts.append(hashlib.sha256(str(value).encode()).hexdigest()[:12])
    parts.append(name)
    return _UNFIT.sub("-", ".".join(parts))


async def read(ctx: RunContext, key: str) -> dict[str, Any] | None:
    """Return the data of a state, or None when it was never set."""
    entry = await ctx.kv.get(ctx.namespace, key)
    return entry.value if entry is not None else None


def _missing(name: str) -> TaskFailed:
    return TaskFailed(f"there is no state `{name}` and `errorOnMissing` is set to true")


TASKS = [Set, Get, Delete]
