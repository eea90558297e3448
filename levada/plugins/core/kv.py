"""`core.kv.*`: the key-value store of a namespace.

Values keep their type: a map stays a map, a number a number. Text is stored as text unless `kvType` says what it means;
only text that is a JSON object or list is read as such without being told.
"""

import fnmatch
import json
from datetime import timedelta
from typing import Any, Literal

from levada.expr import instants
from levada.expr.errors import ExpressionError
from levada.model.errors import UserError
from levada.sdk import Outputs, Part, RunContext, Task, TaskFailed

KvType = Literal["STRING", "NUMBER", "BOOLEAN", "DATETIME", "DATE", "DURATION", "JSON"]


class Set(Task):
    """Writes a value."""

    TYPE = "core.kv.Set"
    RAW = frozenset({"value"})

    key: str
    value: Any
    namespace: str | None = None
    overwrite: bool = True
    ttl: timedelta | None = None
    kv_type: KvType | None = None
    kv_description: str | None = None

    async def run(self, ctx: RunContext) -> None:
        """Raises TaskFailed when the key exists and `overwrite` is false, or when the value does not fit `kvType`."""
        namespace = self.namespace or ctx.namespace
        if not self.overwrite and await ctx.kv.get(namespace, self.key) is not None:
            raise TaskFailed(
                f"Cannot set value for key '{self.key}'. Key already exists and `overwrite` is set to `false`."
            )
        value = typed(await ctx.evaluate(self.value), self.kv_type)
        await ctx.kv.put(
            namespace,
            self.key,
            value,
            type=self.kv_type,
            ttl_us=self.ttl // timedelta(microseconds=1) if self.ttl is not None else None,
            description=self.kv_description,
            overwrite=self.overwrite,
        )


class Put(Task):
    """Writes a value; like Set without its options."""

    TYPE = "core.kv.Put"
    RAW = frozenset({"value"})

    key: str
    value: Any
    namespace: str | None = None
    error_on_missing: bool = False

    async def run(self, ctx: RunContext) -> None:
        """Raises TaskFailed when `errorOnMissing` is true and there is no such key yet."""
        namespace = self.namespace or ctx.namespace
        if self.error_on_missing and await ctx.kv.get(namespace, self.key) is None:
            raise _missing(self.key, namespace)
        await ctx.kv.put(namespace, self.key, typed(await ctx.evaluate(self.value), None))


class GetOutputs(Outputs):
    value: Any


class Get(Task):
    """Reads a value of this one namespace; null when there is none."""

    TYPE = "core.kv.Get"

    key: str
    namespace: str | None = None
    error_on_missing: bool = False

    async def run(self, ctx: RunContext) -> GetOutputs:
        """Raises TaskFailed when `errorOnMissing` is true and there is no such key."""
        namespace = self.namespace or ctx.namespace
        entry = await ctx.kv.get(namespace, self.key)
        if entry is None and self.error_on_missing:
            raise _missing(self.key, namespace)
        return GetOutputs(value=entry.value if entry is not None else None)


class GetKeysOutputs(Outputs):
    keys: list[str]


class GetKeys(Task):
    """Lists keys."""

    TYPE = "core.kv.GetKeys"

    namespace: str | None = None
    prefix: str | None = None

    async def run(self, ctx: RunContext) -> GetKeysOutputs:
        """Expired keys are left out."""
        return GetKeysOutputs(keys=list(await ctx.kv.keys(self.namespace or ctx.namespace, self.prefix or "")))


class DeleteOutputs(Outputs):
    deleted: bool


class Delete(Task):
    """Deletes a key."""

    TYPE = "core.kv.Delete"

    key: str
    namespace: str | None = None
    error_on_missing: bool = False

    async def run(self, ctx: RunContext) -> DeleteOutputs:
        """Raises TaskFailed when `errorOnMissing` is true and there is no such key."""
        namespace = self.namespace or ctx.namespace
        deleted = await ctx.kv.delete(namespace, self.key)
        if not deleted and self.error_on_missing:
            raise _missing(self.key, namespace)
        return DeleteOutputs(deleted=deleted)


class KeyPurge(Part, frozen=True, tag_field="type", tag="key"):
    """Removes keys: expired ones, or all that match."""

    expired_only: bool = True


class VersionPurge(Part, frozen=True, tag_field="type", tag="version"):
    """Removes old versions of values; Levada keeps only the newest, so that there is nothing to remove."""

    before: str | None = None
    keep_amount: int | None = None


class PurgeOutputs(Outputs):
    size: int


class PurgeKV(Task):
    """Removes keys of several namespaces at once. Without `namespaces` and `namespacePattern`: of the flow's own."""

    TYPE = "core.kv.PurgeKV"
    DEPRECATED_PROPERTIES = frozenset({"expiredOnly"})

    behavior: KeyPurge | VersionPurge = KeyPurge()
    key_pattern: str | None = None
    namespaces: list[str] | None = None
    namespace_pattern: str | None = None
    include_child_namespaces: bool = True
    expired_only: bool | None = None

    async def run(self, ctx: RunContext) -> PurgeOutputs:
        """Raises TaskFailed when both `namespaces` and `namespacePattern` are given."""
        if isinstance(self.behavior, VersionPurge):
            ctx.log("INFO", "only the newest version of a key is kept here: there are no old versions to purge")
            return PurgeOutputs(size=0)
        chosen = await chosen_namespaces(
            ctx, self.namespaces, self.namespace_pattern, children=self.include_child_namespaces
        )
        expired_only = self.behavior.expired_only if self.expired_only is None else self.expired_only
        arguments = {"namespaces": chosen, "keyPattern": self.key_pattern, "expiredOnly": expired_only}
        answer = await ctx.control.call("kv.purge", arguments)
        ctx.log("INFO", f"purged {answer['count']} keys from {len(chosen)} namespaces")
        return PurgeOutputs(size=answer["count"])


async def chosen_namespaces(
    ctx: RunContext, named: list[str] | None, pattern: str | None, *, children: bool
) -> list[str]:
    """Return the namespaces that a purge is about. Raises TaskFailed when they are both listed and given by a pattern."""
    if named is not None and pattern is not None:
        raise TaskFailed("`namespaces` and `namespacePattern` exclude each other: give only one of them")
    if pattern is None and not children:
        return sorted(set(named if named is not None else [ctx.namespace]))
    existing: list[str] = await ctx.control.call("namespaces.list", {})
    if pattern is not None:
        return sorted(name for name in existing if fnmatch.fnmatchcase(name, pattern))
    roots = set(named if named is not None else [ctx.namespace])
    below = tuple(f"{root}." for root in roots)
    return sorted(roots | {name for name in existing if name.startswith(below)})


def typed(value: Any, kind: KvType | None) -> Any:
    """Return `value` as `kvType` wants it stored. Raises TaskFailed when it is no such value."""
    if kind is None:
        return _loaded(value) if isinstance(value, str) and value.strip()[:1] in ("{", "[") else value
    try:
        return _converted(value, kind)
    except (ValueError, UserError) as error:
        raise TaskFailed(f"property `value` must be a {kind} as `kvType` says, but is {value!r}: {error}") from error


def _converted(value: Any, kind: KvType) -> Any:
    match kind:
        case "STRING":
            return value if isinstance(value, str) else json.dumps(value)
        case "NUMBER":
            return value if type(value) in (int, float) else _number(str(value))
        case "BOOLEAN":
            return _boolean(value)
        case "DATETIME":
            return instants.java_text(instants.moment(value))
        case "DATE":
            return instants.moment(value).date().isoformat()
        case "DURATION":
            return instants.duration_text(value if isinstance(value, timedelta) else _duration(str(value)))
        case "JSON":
            return json.loads(value) if isinstance(value, str) else value


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    match str(value).strip().lower():
        case "true":
            return True
        case "false":
            return False
    raise ValueError("write true or false")


def _duration(text: str) -> timedelta:
    """Read an ISO duration, as a value error where it is none."""
    try:
        return instants.parse_duration(text)
    except ExpressionError as error:
        raise ValueError("write an ISO 8601 duration such as PT5M") from error


def _loaded(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value


def _missing(key: str, namespace: str) -> TaskFailed:
    return TaskFailed(f"No value found for key '{key}' in namespace '{namespace}' and `errorOnMissing` is set to true")


TASKS = [Set, Put, Get, GetKeys, Delete, PurgeKV]
