"""The functions of expressions that need a service: `secret`, `kv`, `read`, `http` and their like.

An expression is rendered in a thread whenever it may call one of these, and the call comes back to the event loop here.
The table FUNCTIONS is everything that can be called. What an expression reads from `secret` is told to the masker before
the expression sees it.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import UTC, datetime
from typing import Any

from levada.expr import ExpressionError, UndefinedVariable
from levada.files import paths
from levada.files.errors import FileMissing
from levada.files.port import Files
from levada.model.errors import UserError
from levada.sdk.context import Services
from levada_worker.mask import Masker
from levada_worker.storage import NAMESPACE_SCHEME, namespace_path

READ_LIMIT_BYTES = 1024 * 1024
CALL_TIMEOUT_S = 120.0

Fetch = Callable[[dict[str, Any]], Awaitable[Any]]


class ServiceHost:
    """The `expr.Host` of one attempt. `call` may be used from any thread but that of the event loop."""

    def __init__(
        self, services: Services, files: Files, masker: Masker, *, namespace: str, execution_id: str, fetch: Fetch
    ) -> None:
        self.services = services
        self.files = files
        self.masker = masker
        self.namespace = namespace
        self.execution_id = execution_id
        self.fetch = fetch
        self._loop = asyncio.get_running_loop()

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)

    def random_bytes(self, n: int) -> bytes:
        return os.urandom(n)

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        function = FUNCTIONS.get(name)
        if function is None:
            raise ExpressionError(f"function `{name}` is not available on a worker")
        if self._on_the_loop():
            raise ExpressionError(f"function `{name}` cannot be used in this place")
        pending = asyncio.run_coroutine_threadsafe(function(self, *args, **kwargs), self._loop)
        try:
            return pending.result(CALL_TIMEOUT_S)
        except FutureTimeout as problem:
            pending.cancel()
            raise ExpressionError(f"function `{name}` gave no answer within {CALL_TIMEOUT_S:g} seconds") from problem

    def _on_the_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


async def _secret(host: ServiceHost, key: str, namespace: str | None = None, subkey: str | None = None) -> str:
    value = await host.services.secrets.get(namespace or host.namespace, key)
    if value is None:
        raise UserError(f"Cannot find secret for key '{key}'.")
    host.masker.add([value])
    if subkey is None:
        return value
    try:
        inner = json.loads(value)[subkey]
    except (ValueError, KeyError, TypeError) as problem:
        raise UserError(f"Cannot find secret sub-key '{subkey}' in secret '{key}'.") from problem
    text = inner if isinstance(inner, str) else json.dumps(inner)
    host.masker.add([text])
    return text


async def _kv(host: ServiceHost, key: str, namespace: str | None = None, errorOnMissing: Any = True) -> Any:
    """With a namespace given only that one is read, else this one and its parents."""
    spaces = [namespace] if namespace else inherited(host.namespace)
    for space in spaces:
        entry = await host.services.kv.get(space, key)
        if entry is not None:
            return entry.value
    if str(errorOnMissing).lower() == "false":
        return None
    where = namespace or host.namespace
    # As a missing variable, so that `??` gives its other side.
    raise UndefinedVariable(f"kv('{key}')", hint=f"The key '{key}' does not exist in the namespace '{where}'.")


def inherited(namespace: str) -> list[str]:
    """Return the namespace and its parents, nearest first."""
    parts = namespace.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


async def _read(host: ServiceHost, path: str, namespace: str | None = None, revision: Any = None) -> str:
    data = await _content(host, path, namespace, READ_LIMIT_BYTES)
    return data.decode("utf-8", "replace")


async def _file_uri(host: ServiceHost, path: str, namespace: str | None = None, revision: Any = None) -> str:
    space, inner = _place(host, path, namespace)
    if inner not in {name.lstrip("/") for name in await host.services.namespace_files.list(space)}:
        raise FileMissing(f"there is no namespace file {inner} in {space}")
    return paths.namespace_file(space, inner)


async def _file_size(host: ServiceHost, path: str, namespace: str | None = None) -> int:
    if _is_stored(path):
        return (await host.files.stat(path)).size
    return len(await _content(host, path, namespace, None))


async def _file_exists(host: ServiceHost, path: str, namespace: str | None = None) -> bool:
    if _is_stored(path):
        return await host.files.exists(path)
    space, inner = _place(host, path, namespace)
    return inner in {name.lstrip("/") for name in await host.services.namespace_files.list(space)}


async def _is_file_empty(host: ServiceHost, path: str, namespace: str | None = None) -> bool:
    return await _file_size(host, path, namespace) == 0


async def _content(host: ServiceHost, path: str, namespace: str | None, limit: int | None) -> bytes:
    if _is_stored(path):
        return await host.files.read(path, limit)
    space, inner = _place(host, path, namespace)
    data = await host.services.namespace_files.read(space, inner)
    if limit is not None and len(data) > limit:
        raise UserError(f"`{path}` has {len(data):,} bytes; `read` gives at most {limit:,}")
    return data


def _is_stored(path: str) -> bool:
    if not isinstance(path, str):
        raise UserError(f"a file is named by text, not by {path!r}")
    if path.startswith("file://"):
        raise UserError(f"`{path}` names a file of the worker, which expressions may not read")
    return path.startswith("kestra:")


def _place(host: ServiceHost, path: str, namespace: str | None) -> tuple[str, str]:
    if path.startswith(NAMESPACE_SCHEME):
        found = namespace_path(path, namespace or host.namespace)
        assert found is not None, "the scheme was checked"
        return found
    return namespace or host.namespace, paths.check(path.lstrip("/"), path)


async def _http(
    host: ServiceHost,
    uri: str,
    method: str = "GET",
    query: Any = None,
    body: Any = None,
    contentType: str | None = None,
    headers: Any = None,
    options: Any = None,
    accept: str | None = None,
) -> Any:
    request: dict[str, Any] = {"uri": uri, "method": method, "headers": dict(headers or {})}
    if accept is not None:
        request["headers"].setdefault("Accept", accept)
    for name, value in (("params", query), ("body", body), ("contentType", contentType), ("options", options)):
        if value is not None:
            request[name] = value if name != "body" or isinstance(value, str) else json.dumps(value)
    text = await host.fetch(request)
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _controlled(operation: str, *names: str) -> Callable[..., Awaitable[Any]]:
    """A function that the control plane performs, with its arguments under their names."""

    async def call(host: ServiceHost, *args: Any, **kwargs: Any) -> Any:
        arguments = {
            "executionId": host.execution_id,
            "namespace": host.namespace,
            **dict(zip(names, args, strict=False)),
        }
        return await host.services.control.call(operation, arguments | kwargs)

    return call


async def _error_logs(host: ServiceHost) -> Any:
    arguments = {"executionId": host.execution_id, "minLevel": "ERROR", "limit": 1000}
    return (await host.services.control.call("logs.fetch", arguments))["entries"]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "secret": _secret,
    "kv": _kv,
    "read": _read,
    "fileURI": _file_uri,
    "fileSize": _file_size,
    "fileExists": _file_exists,
    "isFileEmpty": _is_file_empty,
    "http": _http,
    "errorLogs": _error_logs,
    "subflow": _controlled("expressions.subflow", "namespace", "flowId", "inputs"),
    "appLink": _controlled("expressions.appLink", "appId", "baseUrl"),
    "credential": _controlled("expressions.credential", "name"),
    "assets": _controlled("expressions.assets"),
    "env": _controlled("expressions.env", "name", "default"),
}
