"""The control plane's services for tasks, answered in this process (`sdk.Services`).

One `LocalServices` per tenant, over the ports of the platform. A worker in a process of its own gets the same over HTTP;
both ends speak the protocols of `sdk.context`, so a task never knows which it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levada.model.errors import UserError
from levada.runtime.clock import Clock
from levada.runtime.control import Control, Stores
from levada.runtime.namespace_files import StoredNamespaceFiles
from levada.sdk.context import KvEntry
from levada.store.port import KvRow, KvStore


class LocalServices:
    def __init__(
        self, tenant: str, *, clock: Clock, stores: Stores, secrets: Mapping[str, str], encryption_key: bytes | None
    ) -> None:
        self.kv = LocalKv(tenant, stores.kv, clock)
        self.secrets = LocalSecrets(secrets)
        self.namespace_files = StoredNamespaceFiles(stores.files)
        self.control = Control(tenant, clock=clock, stores=stores, encryption_key=encryption_key)


class LocalKv:
    """`sdk.Kv`: expired entries are absent."""

    def __init__(self, tenant: str, store: KvStore, clock: Clock) -> None:
        self._tenant = tenant
        self._store = store
        self._clock = clock

    async def get(self, namespace: str, key: str) -> KvEntry | None:
        row = await self._store.get(self._tenant, namespace, key)
        return None if row is None or expired(row, self._clock.now_us()) else _entry(row)

    async def put(
        self,
        namespace: str,
        key: str,
        value: Any,
        *,
        type: str | None = None,
        ttl_us: int | None = None,
        description: str | None = None,
        overwrite: bool = True,
    ) -> None:
        now = self._clock.now_us()
        row = KvRow(
            tenant=self._tenant,
            namespace=namespace,
            key=key,
            type=type if type is not None else type_of(value),
            value=value,
            created=now,
            updated=now,
            description=description,
            expires=now + ttl_us if ttl_us is not None else None,
        )
        if not await self._store.put(row, overwrite=overwrite):
            raise UserError(f"the key {key} exists already in namespace {namespace} and must not be overwritten")

    async def delete(self, namespace: str, key: str) -> bool:
        present = await self.get(namespace, key) is not None
        return await self._store.delete(self._tenant, namespace, key) and present

    async def keys(self, namespace: str, prefix: str = "") -> list[str]:
        return [entry.key for entry in await self._live(namespace, prefix)]

    async def entries(self, namespace: str) -> list[KvEntry]:
        return await self._live(namespace, "")

    async def _live(self, namespace: str, prefix: str) -> list[KvEntry]:
        now = self._clock.now_us()
        rows = await self._store.list(self._tenant, namespace, prefix)
        return [_entry(row) for row in rows if not expired(row, now)]


class LocalSecrets:
    """`sdk.Secrets` from the environment: the same for every namespace."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    async def get(self, namespace: str, key: str) -> str | None:
        return self._values.get(key)


def expired(row: KvRow, now: int) -> bool:
    return row.expires is not None and row.expires <= now


def type_of(value: Any) -> str:
    """Return the type under which a plain value is stored when none is named."""
    match value:
        case bool():
            return "BOOLEAN"
        case int() | float():
            return "NUMBER"
        case str():
            return "STRING"
        case _:
            return "JSON"


def _entry(row: KvRow) -> KvEntry:
    return KvEntry(
        key=row.key,
        type=row.type,
        value=row.value,
        description=row.description,
        expires=row.expires,
        created=row.created,
        updated=row.updated,
    )
