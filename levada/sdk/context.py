"""What a running task sees of the platform: `RunContext`.

A plugin never touches the database, the bus or the storage: everything it may do is a method here. The worker supplies
the real one, `levada.sdk.testing` one for plugin tests. All paths are inside `working_dir`, a folder of this attempt.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec


class KvEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`type` is STRING, NUMBER, BOOLEAN, DATETIME, DATE, DURATION or JSON; times are epoch microseconds."""

    key: str
    type: str
    value: Any
    description: str | None = None
    expires: int | None = None
    created: int = 0
    updated: int = 0


class Storage(Protocol):
    """Internal storage seen from a task. URIs are `kestra:///…` (or `nsfile:///…` for reading)."""

    async def put(self, content: bytes | str | Path | AsyncIterator[bytes], name: str) -> str:
        """Store under this task run and return the URI."""

    def get(self, uri: str) -> AsyncIterator[bytes]: ...

    async def read(self, uri: str, limit: int | None = None) -> bytes: ...

    async def size(self, uri: str) -> int: ...

    async def exists(self, uri: str) -> bool: ...

    async def delete(self, uri: str) -> bool: ...

    async def list(self, uri: str) -> list[str]: ...

    async def fetch(self, uri: str, target: Path) -> Path:
        """Copy the content to a local file (linked where possible) and return its path."""


class NamespaceFiles(Protocol):
    """Files of a namespace; paths are relative, with `/`."""

    async def list(self, namespace: str) -> list[str]: ...

    async def read(self, namespace: str, path: str) -> bytes: ...

    async def put(self, namespace: str, path: str, content: bytes) -> None: ...

    async def delete(self, namespace: str, path: str) -> bool: ...


class Kv(Protocol):
    async def get(self, namespace: str, key: str) -> KvEntry | None:
        """Return the entry, or None when absent or expired. Only the named namespace is read."""

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
        """Raises UserError when the key exists and `overwrite` is false. `type` None: by the value."""

    async def delete(self, namespace: str, key: str) -> bool: ...

    async def keys(self, namespace: str, prefix: str = "") -> list[str]: ...

    async def entries(self, namespace: str) -> list[KvEntry]: ...


class Secrets(Protocol):
    async def get(self, namespace: str, key: str) -> str | None:
        """Return the value, looking up the namespace's parents; None when nowhere defined."""


class Control(Protocol):
    """What tasks may ask of the control plane. Arguments and answers are plain JSON; times are epoch microseconds.

    `namespace` as a filter means the namespace and those below it; a filter that is None or absent matches everything.

    | operation | arguments | answer |
    | --- | --- | --- |
    | `executions.count` | `flows` [{namespace, flowId}] or `namespaces` [name], `states`, `startUs`, `endUs` | [{namespace, flowId (None for `namespaces`), count}], one per entry asked for, in its order |
    | `executions.resume` | `executionId`, `inputs` | None; UserError when it is not PAUSED |
    | `executions.purge` | `namespace`, `flowId`, `states`, `startUs`, `endUs`, `purgeExecution`, `purgeLog`, `purgeMetric`, `purgeStorage`, `batchSize` | {executionsCount, logsCount, metricsCount, storagesCount}; only ended executions |
    | `logs.fetch` | `executionId`, `taskIds`, `minLevel`, `after` (a cursor), `limit` | {entries [{…, timestamp ISO}], next (cursor or None)} in order of time |
    | `logs.purge` | `namespace`, `flowId`, `executionId`, `logLevels`, `startUs`, `endUs` | {count} |
    | `triggers.toggle` | `namespace`, `flowId`, `triggerId`, `enabled` | None; UserError when there is no such trigger |
    | `storage.purge` | `namespace`, `flowId`, `startUs`, `endUs`, `dryRun` | {scannedCount, purgedCount, deletedFilesCount}; files without an execution |
    | `namespaces.list` | none | [name]: every namespace that has flows, keys or files |
    | `text.encrypt` | `text` | {type, value}, as SECRET values are stored; UserError without an encryption key |
    | `kv.purge` | `namespaces` [name], `keyPattern` (glob), `expiredOnly` | {count} |
    """

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """Perform a named operation with the rights of the running flow's namespace; raises UserError when refused."""


class Services(Protocol):
    """The control plane's services that tasks may use; in process, or over HTTP with a token of the attempt."""

    @property
    def kv(self) -> Kv: ...
    @property
    def secrets(self) -> Secrets: ...
    @property
    def namespace_files(self) -> NamespaceFiles: ...
    @property
    def control(self) -> Control: ...


class ProcessResult(msgspec.Struct, frozen=True, kw_only=True):
    exit_code: int
    stdout_lines: int = 0
    stderr_lines: int = 0
    #: Collected from `::{"outputs": …}::` lines.
    outputs: dict[str, Any] = {}


class RunContext(Protocol):
    """The world of one attempt."""

    @property
    def execution_id(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def flow_id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def task_id(self) -> str: ...
    @property
    def task_run_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def trace_parent(self) -> str | None:
        """W3C's `traceparent` of this attempt, to be sent along with requests; None outside of any trace."""

    @property
    def variables(self) -> Mapping[str, Any]: ...
    @property
    def working_dir(self) -> Path: ...
    @property
    def cache_dir(self) -> Path:
        """A folder of this worker that outlives attempts and is shared by all of them: lock what you put there."""

    @property
    def storage(self) -> Storage: ...
    @property
    def kv(self) -> Kv: ...
    @property
    def secrets(self) -> Secrets: ...
    @property
    def namespace_files(self) -> NamespaceFiles: ...
    @property
    def control(self) -> Control: ...

    def now_us(self) -> int: ...

    async def render(self, value: Any, extra: Mapping[str, Any] | None = None) -> Any:
        """Render a value (nested structures too) with the variables and `extra`. Raises ExpressionError."""

    async def evaluate(self, value: Any, extra: Mapping[str, Any] | None = None) -> Any:
        """Like `render`, but a text that is exactly one `{{ … }}` keeps the type of its value. Raises ExpressionError."""

    def log(self, level: str, message: str) -> None:
        """Write one log line: TRACE, DEBUG, INFO, WARN or ERROR. Secrets are masked. Never blocks."""

    def counter(self, name: str, value: float, **tags: str) -> None: ...

    def timer(self, name: str, milliseconds: float, **tags: str) -> None: ...

    def gauge(self, name: str, value: float, **tags: str) -> None: ...

    async def prepare_files(self, input_files: Any = None, namespace_files: Any = None) -> list[str]:
        """Put inputFiles (map, list or JSON text; already rendered) and namespace files into `working_dir`."""

    async def collect_files(self, patterns: Sequence[str]) -> dict[str, str]:
        """Store what matches the globs under `working_dir`; return relative path -> URI."""

    async def run_process(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        kill_grace_s: float | None = None,
    ) -> ProcessResult:
        """Run a child in its own process group; its output is streamed as logs and read for the `::{…}::` protocol.

        Its environment is `env` beside PATH, HOME, WORKING_DIR and a few more; nothing of the worker's own. When the
        attempt is cancelled or times out, the whole tree is asked to end and killed after `kill_grace_s` (None: the
        worker's setting). Raises UserError when the program cannot be started.
        """
