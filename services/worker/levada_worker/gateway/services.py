"""The control plane's services for one attempt, over HTTP: `levada.sdk.context.Services`.

Every request carries the claim of the attempt; the gateway answers only what that attempt may ask.
"""

from collections.abc import Mapping
from typing import Any

from levada.model.jobs import Held
from levada.runtime.namespace_files import StoredNamespaceFiles
from levada.sdk.context import KvEntry
from levada_worker.gateway.connection import PATIENCE_S, Gateways
from levada_worker.gateway.files import HttpFiles

#: Operations of the control plane may purge thousands of executions.
CONTROL_S = 300.0


class HttpServices:
    def __init__(self, gateways: Gateways, held: Held, files: HttpFiles) -> None:
        line = _Line(gateways, held)
        self.kv = HttpKv(line)
        self.secrets = HttpSecrets(line)
        self.control = HttpControl(line)
        self.namespace_files = StoredNamespaceFiles(files)


class _Line:
    """Questions under one claim."""

    def __init__(self, gateways: Gateways, held: Held) -> None:
        self._gateways = gateways
        self._held = held

    async def ask(
        self, what: str, shape: Any, arguments: Mapping[str, Any], *, again: bool = True, answer_s: float = 30.0
    ) -> Any:
        options = {"held": self._held, "answer_s": answer_s, "again": again, "patience_s": PATIENCE_S}
        return await self._gateways.ask(f"/task/{what}", arguments, shape, **options)


class HttpKv:
    def __init__(self, line: _Line) -> None:
        self._line = line

    async def get(self, namespace: str, key: str) -> KvEntry | None:
        wanted = {"namespace": namespace, "key": key}
        found: KvEntry | None = await self._line.ask("kv.get", KvEntry | None, wanted)
        return found

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
        entry = {
            "namespace": namespace,
            "key": key,
            "value": value,
            "type": type,
            "ttl_us": ttl_us,
            "description": description,
            "overwrite": overwrite,
        }
        # A second try would find the key that the first one put.
        await self._line.ask("kv.put", None, entry, again=overwrite)

    async def delete(self, namespace: str, key: str) -> bool:
        wanted = {"namespace": namespace, "key": key}
        there: bool = await self._line.ask("kv.delete", bool, wanted, again=False)
        return there

    async def keys(self, namespace: str, prefix: str = "") -> list[str]:
        found: list[str] = await self._line.ask("kv.keys", list[str], {"namespace": namespace, "prefix": prefix})
        return found

    async def entries(self, namespace: str) -> list[KvEntry]:
        found: list[KvEntry] = await self._line.ask("kv.entries", list[KvEntry], {"namespace": namespace})
        return found


class HttpSecrets:
    def __init__(self, line: _Line) -> None:
        self._line = line

    async def get(self, namespace: str, key: str) -> str | None:
        found: str | None = await self._line.ask("secrets.get", str | None, {"namespace": namespace, "key": key})
        return found


class HttpControl:
    def __init__(self, line: _Line) -> None:
        self._line = line

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        wanted = {"operation": operation, "arguments": dict(arguments)}
        return await self._line.ask("control.call", Any, wanted, again=False, answer_s=CONTROL_S)
