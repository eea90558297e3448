"""`core.kv.*`: the key-value store of a namespace."""

from datetime import timedelta
from typing import Any, Literal

from levada.sdk import Outputs, Part, Task

KvType = Literal["STRING", "NUMBER", "BOOLEAN", "DATETIME", "DATE", "DURATION", "JSON"]


class Set(Task):
    """Writes a value."""

    TYPE = "core.kv.Set"

    key: str
    value: Any
    namespace: str | None = None
    overwrite: bool = True
    ttl: timedelta | None = None
    kv_type: KvType | None = None
    kv_description: str | None = None


class Put(Task):
    """Writes a value; like Set without its options."""

    TYPE = "core.kv.Put"

    key: str
    value: Any
    namespace: str | None = None
    error_on_missing: bool = False


class GetOutputs(Outputs):
    value: Any


class Get(Task):
    """Reads a value; null when there is none."""

    TYPE = "core.kv.Get"

    key: str
    namespace: str | None = None
    error_on_missing: bool = False


class GetKeys(Task):
    """Lists keys."""

    TYPE = "core.kv.GetKeys"

    namespace: str | None = None
    prefix: str | None = None


class Delete(Task):
    """Deletes a key."""

    TYPE = "core.kv.Delete"

    key: str
    namespace: str | None = None
    error_on_missing: bool = False


class KeyPurge(Part, frozen=True, tag_field="type", tag="key"):
    """Removes keys: expired ones, or all that match."""

    expired_only: bool = True


class VersionPurge(Part, frozen=True, tag_field="type", tag="version"):
    """Removes old versions of values."""

    before: str | None = None
    keep_amount: int | None = None


class PurgeKV(Task):
    """Removes keys of several namespaces at once."""

    TYPE = "core.kv.PurgeKV"
    DEPRECATED_PROPERTIES = frozenset({"expiredOnly"})

    behavior: KeyPurge | VersionPurge = KeyPurge()
    key_pattern: str | None = None
    namespaces: list[str] | None = None
    namespace_pattern: str | None = None
    include_child_namespaces: bool = True
    expired_only: bool | None = None


TASKS = [Set, Put, Get, GetKeys, Delete, PurgeKV]
