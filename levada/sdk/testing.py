"""A world for plugin tests: a `RunContext` with everything in memory, and `run` to play one task in it.

    async def test_write_stores_its_content(tmp_path):
        ctx = TestContext(tmp_path, variables={"inputs": {"name": "Ada"}})
        outputs = await run(Write, ctx, content="Hello {{ inputs.name }}")
        assert await ctx.storage.read(outputs["uri"]) == b"Hello Ada"

Properties go the way they go on a worker: rendered, converted, run; outputs come back as plain data. Logs and metrics are
kept in `ctx.logs` and `ctx.metrics`. Processes are really started, but plainly: the worker's own runner (which kills whole
trees, masks, limits) has its own tests.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from levada import expr
from levada.model.errors import UserError
from levada.sdk.context import KvEntry, ProcessResult
from levada.sdk.properties import build
from levada.sdk.task import Outcome, Task, TaskFailed

CHUNK_BYTES = 64 * 1024


async def run(cls: type[Task], ctx: "TestContext", **properties: Any) -> Any:
    """Render `properties` (YAML names), run the task and return its outputs as plain data.

    An `Outcome` is recorded in `ctx.state`. Raises what the task raises; `TaskFailed` sets `ctx.state` too.
    """
    ctx.state = "SUCCESS"
    task = await build(cls, properties, ctx.render)
    try:
        result = await task.run(ctx)
    except TaskFailed:
        ctx.state = "FAILED"
        raise
    if isinstance(result, Outcome):
        ctx.state, result = result.state, result.outputs
    return msgspec.to_builtins(result)


class LogLine(msgspec.Struct, frozen=True):
    level: str
    message: str


class Metric(msgspec.Struct, frozen=True):
    kind: str
    name: str
    value: float
    tags: dict[str, str]


class MemoryStorage:
    """Internal storage as a dictionary; URIs look like the real ones."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.objects: dict[str, bytes] = {}

    async def put(self, content: bytes | str | Path | AsyncIterator[bytes], name: str) -> str:
        uri = f"kestra:///{self.folder}/{name}"
        if isinstance(content, AsyncIterator):
            content = b"".join([chunk async for chunk in content])
        self.objects[uri] = _bytes(content)
        return uri

    async def get(self, uri: str) -> AsyncIterator[bytes]:
        data = await self.read(uri)
        for start in range(0, len(data), CHUNK_BYTES):
            yield data[start : start + CHUNK_BYTES]

    async def read(self, uri: str, limit: int | None = None) -> bytes:
        if uri not in self.objects:
            raise UserError(f"there is no file {uri} in the internal storage")
        data = self.objects[uri]
        if limit is not None and len(data) > limit:
            raise UserError(f"the file {uri} has {len(data):,} bytes; at most {limit:,} can be read here")
        return data

    async def size(self, uri: str) -> int:
        return len(await self.read(uri))

    async def exists(self, uri: str) -> bool:
        return uri in self.objects

    async def delete(self, uri: str) -> bool:
        return self.objects.pop(uri, None) is not None

    async def list(self, uri: str) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(uri.rstrip("/") + "/"))

    async def fetch(self, uri: str, target: Path) -> Path:
        _write(target, await self.read(uri))
        return target


class MemoryKv:
    def __init__(self, now_us: Callable[[], int]) -> None:
        self.rows: dict[tuple[str, str], KvEntry] = {}
        self._now_us = now_us

    async def get(self, namespace: str, key: str) -> KvEntry | None:
        entry = self.rows.get((namespace, key))
        if entry is None or (entry.expires is not None and entry.expires <= self._now_us()):
            return None
        return entry

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
        if not overwrite and await self.get(namespace, key) is not None:
            raise UserError(f"the key {key} already exists in namespace {namespace}")
        now = self._now_us()
        kind = type or kv_type(value)
        expires = now + ttl_us if ttl_us is not None else None
        self.rows[namespace, key] = KvEntry(
            key=key, type=kind, value=value, description=description, expires=expires, created=now, updated=now
        )

    async def delete(self, namespace: str, key: str) -> bool:
        return self.rows.pop((namespace, key), None) is not None

    async def keys(self, namespace: str, prefix: str = "") -> list[str]:
        return [entry.key for entry in await self.entries(namespace) if entry.key.startswith(prefix)]

    async def entries(self, namespace: str) -> list[KvEntry]:
        found = [await self.get(*at) for at in sorted(self.rows) if at[0] == namespace]
        return [entry for entry in found if entry is not None]


class MemorySecrets:
    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    async def get(self, namespace: str, key: str) -> str | None:
        return self.values.get(key)


class MemoryNamespaceFiles:
    def __init__(self) -> None:
        self.files: dict[tuple[str, str], bytes] = {}

    async def list(self, namespace: str) -> list[str]:
        return sorted(path for space, path in self.files if space == namespace)

    async def read(self, namespace: str, path: str) -> bytes:
        try:
            return self.files[namespace, path.lstrip("/")]
        except KeyError:
            raise UserError(f"there is no namespace file {path} in {namespace}") from None

    async def put(self, namespace: str, path: str, content: bytes) -> None:
        self.files[namespace, path.lstrip("/")] = content

    async def delete(self, namespace: str, path: str) -> bool:
        return self.files.pop((namespace, path.lstrip("/")), None) is not None


class ScriptedControl:
    """Records the calls; answers with what `answers` holds for the operation (a value, or a function of arguments)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        self.calls.append((operation, dict(arguments)))
        if operation not in self.answers:
            raise UserError(f"this test gives no answer to {operation}; set ctx.control.answers[{operation!r}]")
        answer = self.answers[operation]
        return answer(arguments) if callable(answer) else answer


class TestContext:
    """A RunContext whose services are dictionaries; every part may be looked at and filled by the test."""

    __test__ = False  # not a test class for pytest

    def __init__(
        self,
        working_dir: Path,
        *,
        variables: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        namespace: str = "company.team",
        flow_id: str = "flow",
        task_id: str = "task",
    ) -> None:
        self.tenant = "main"
        self.execution_id = "execution0000000000000"
        self.namespace = namespace
        self.flow_id = flow_id
        self.task_id = task_id
        self.task_run_id = "taskrun000000000000000"
        self.attempt = 1
        self.trace_parent: str | None = None
        self.working_dir = working_dir
        self.cache_dir = working_dir.parent / f"{working_dir.name}-cache"
        self.variables: dict[str, Any] = dict(variables or {})
        folder = f"{namespace.replace('.', '/')}/{flow_id}/executions/{self.execution_id}/tasks/{task_id}"
        self.storage = MemoryStorage(f"{folder}/{self.task_run_id}")
        self.kv = MemoryKv(self.now_us)
        self.secrets = MemorySecrets(secrets or {})
        self.namespace_files = MemoryNamespaceFiles()
        self.control = ScriptedControl()
        self.logs: list[LogLine] = []
        self.metrics: list[Metric] = []
        self.state = "SUCCESS"

    def now_us(self) -> int:
        return time.time_ns() // 1000

    async def render(self, value: Any, extra: Mapping[str, Any] | None = None) -> Any:
        """Render without services: functions such as `secret` need a worker."""
        return expr.render(value, {**self.variables, **(extra or {})})

    async def evaluate(self, value: Any, extra: Mapping[str, Any] | None = None) -> Any:
        """Like `render`, with the type kept where a text is one expression."""
        return expr.evaluate(value, {**self.variables, **(extra or {})})

    def log(self, level: str, message: str) -> None:
        self.logs.append(LogLine(level, message))

    def messages(self, level: str | None = None) -> list[str]:
        """The logged messages, of one level or all."""
        return [line.message for line in self.logs if level in (None, line.level)]

    def counter(self, name: str, value: float, **tags: str) -> None:
        self.metrics.append(Metric("counter", name, value, tags))

    def timer(self, name: str, milliseconds: float, **tags: str) -> None:
        self.metrics.append(Metric("timer", name, milliseconds, tags))

    def gauge(self, name: str, value: float, **tags: str) -> None:
        self.metrics.append(Metric("gauge", name, value, tags))

    def metric(self, name: str) -> float:
        """The sum of what was recorded under `name`; raises KeyError when nothing was."""
        found = [metric.value for metric in self.metrics if metric.name == name]
        if not found:
            raise KeyError(name)
        return sum(found)

    async def prepare_files(self, input_files: Any = None, namespace_files: Any = None) -> list[str]:
        """Write inline content, storage and namespace files; `namespace_files` puts all files of the namespace there."""
        if isinstance(input_files, str):
            input_files = json.loads(input_files)
        if isinstance(input_files, list):
            input_files = {PurePosixPath(uri).name: uri for uri in input_files}
        written = {}
        if namespace_files:
            for path in await self.namespace_files.list(self.namespace):
                written[path] = await self.namespace_files.read(self.namespace, path)
        for name, content in (input_files or {}).items():
            stored = isinstance(content, str) and content.startswith("kestra:///")
            written[name] = await self.storage.read(content) if stored else str(content).encode()
        for name, data in written.items():
            _write(self.working_dir / name, data)
        return list(written)

    async def collect_files(self, patterns: Sequence[str]) -> dict[str, str]:
        found = {}
        for path in sorted(self.working_dir.rglob("*")):
            name = path.relative_to(self.working_dir).as_posix()
            if path.is_file() and any(fnmatch(name, pattern.removeprefix("./")) for pattern in patterns):
                found[name] = await self.storage.put(path, name)
        return found

    async def run_process(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        kill_grace_s: float | None = None,
    ) -> ProcessResult:
        """Run the child to its end; its lines become log lines, `::{"outputs": …}::` lines become outputs."""
        child = await asyncio.create_subprocess_exec(
            *argv,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.working_dir), **(env or {})},
            cwd=cwd or self.working_dir,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        stdout, stderr = await child.communicate()
        outputs: dict[str, Any] = {}
        lines = stdout.decode(errors="replace").splitlines()
        for line in lines:
            if line.startswith("::{") and line.endswith("}::"):
                outputs |= json.loads(line[2:-2]).get("outputs", {})
            else:
                self.log("INFO", line)
        errors = stderr.decode(errors="replace").splitlines()
        for line in errors:
            self.log("ERROR", line)
        code = child.returncode
        assert code is not None, "communicate() returned before the child ended"
        return ProcessResult(exit_code=code, stdout_lines=len(lines), stderr_lines=len(errors), outputs=outputs)


def kv_type(value: Any) -> str:
    """Return the KV type of a plain value."""
    match value:
        case bool():
            return "BOOLEAN"
        case int() | float():
            return "NUMBER"
        case str():
            return "STRING"
        case _:
            return "JSON"


def _bytes(content: bytes | str | Path) -> bytes:
    if isinstance(content, Path):
        return content.read_bytes()
    return content.encode() if isinstance(content, str) else content


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
