"""What tasks may ask of the control plane, as `sdk.Control` lists it: count, resume, fetch, purge.

Every operation is a method; its name with a dot is the name on the wire. Arguments come from tasks, so they are checked
here and a wrong one is a `UserError`. Purging removes in small batches and only what has ended.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from levada.files import paths
from levada.files.port import SCHEME, Files, Stat
from levada.jobs.commands import CommandLog
from levada.model.commands import ResumeExecution
from levada.model.errors import UserError
from levada.model.execution import ExecutionHead
from levada.model.jobs import LogEntry
from levada.model.states import TERMINAL, State
from levada.runtime import sealing
from levada.runtime.clock import Clock
from levada.store import triggers
from levada.store.port import (
    ExecutionFilter,
    ExecutionQueries,
    FlowStore,
    KvStore,
    LogFilter,
    LogStore,
    MetricStore,
)
from levada.store.triggers import TriggerStore

LARGEST_PAGE = 10_000
LOGS_PAGE = 1000

Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stores:
    """The ports that operations work on."""

    flows: FlowStore
    queries: ExecutionQueries
    logs: LogStore
    metrics: MetricStore
    kv: KvStore
    files: Files
    commands: CommandLog
    triggers: TriggerStore


class Control:
    """`sdk.Control` of one tenant."""

    def __init__(self, tenant: str, *, clock: Clock, stores: Stores, encryption_key: bytes | None = None) -> None:
        self._tenant = tenant
        self._clock = clock
        self._stores = stores
        self._key = encryption_key
        self._operations = {
            "executions.count": self.executions_count,
            "executions.resume": self.executions_resume,
            "executions.purge": self.executions_purge,
            "logs.fetch": self.logs_fetch,
            "logs.purge": self.logs_purge,
            "triggers.toggle": self.triggers_toggle,
            "storage.purge": self.storage_purge,
            "namespaces.list": self.namespaces_list,
            "text.encrypt": self.text_encrypt,
            "kv.purge": self.kv_purge,
        }

    async def call(self, operation: str, arguments: Arguments) -> Any:
        """Perform an operation. Raises UserError for an unknown one and for arguments that make no sense."""
        perform = self._operations.get(operation)
        if perform is None:
            known = ", ".join(sorted(self._operations))
            raise UserError(f"there is no operation `{operation}`, only {known}")
        return await perform(arguments)

    # --- executions

    async def executions_count(self, arguments: Arguments) -> list[dict[str, Any]]:
        wanted: list[tuple[str, str | None]] = [
            (str(_required(flow, "namespace")), str(_required(flow, "flowId"))) for flow in arguments.get("flows") or ()
        ]
        wanted += [(str(namespace), None) for namespace in arguments.get("namespaces") or ()]
        counted = []
        for namespace, flow_id in wanted:
            chosen = _filter(arguments, namespace=namespace, flow_id=flow_id, exact=flow_id is not None)
            _, total = await self._stores.queries.search(self._tenant, chosen, limit=0)
            counted.append({"namespace": namespace, "flowId": flow_id, "count": total})
        return counted

    async def executions_resume(self, arguments: Arguments) -> None:
        id = str(_required(arguments, "executionId"))
        heads, _ = await self._stores.queries.search(self._tenant, ExecutionFilter(ids=[id]), limit=1)
        if not heads:
            raise UserError(f"there is no execution {id}")
        if heads[0].state is not State.PAUSED:
            raise UserError(f"execution {id} is {heads[0].state}, not PAUSED, so it cannot be resumed")
        await self._stores.commands.send([ResumeExecution(execution_id=id, inputs=arguments.get("inputs") or None)])

    async def executions_purge(self, arguments: Arguments) -> dict[str, int]:
        """Works through the executions from the oldest on; those that stay (nothing purged of them) are passed over."""
        batch = min(max(int(arguments.get("batchSize") or 100), 1), LARGEST_PAGE)
        removes = bool(arguments.get("purgeExecution", True))
        counts = {"executionsCount": 0, "logsCount": 0, "metricsCount": 0, "storagesCount": 0}
        offset = 0
        while True:
            heads, _ = await self._stores.queries.search(
                self._tenant, _ended(arguments), sort=[("created", False)], limit=batch, offset=offset
            )
            for head in heads:
                await self._purge_parts(head, arguments, counts)
            if removes and heads:
                ids = [head.id for head in heads]
                counts["executionsCount"] += await self._stores.queries.purge(ids, logs=False, metrics=False)
            else:
                offset += len(heads)
            if len(heads) < batch:
                return counts

    async def _purge_parts(self, head: ExecutionHead, arguments: Arguments, counts: dict[str, int]) -> None:
        stores = self._stores
        if arguments.get("purgeLog", True):
            counts["logsCount"] += await stores.logs.delete(self._tenant, LogFilter(execution_id=head.id))
        if arguments.get("purgeMetric", True):
            counts["metricsCount"] += await stores.metrics.delete(self._tenant, head.id)
        if arguments.get("purgeStorage", True):
            folder = paths.execution_folder(head.namespace, head.flow_id, head.id)
            if await stores.files.exists(folder):
                files = await stores.files.list(folder, recursive=True)
                counts["storagesCount"] += sum(not stat.is_folder for stat in files)
                await stores.files.delete(folder, recursive=True)

    # --- logs

    async def logs_fetch(self, arguments: Arguments) -> dict[str, Any]:
        chosen = LogFilter(
            execution_id=str(_required(arguments, "executionId")),
            task_ids=_texts(arguments.get("taskIds")),
            min_level=arguments.get("minLevel"),
        )
        limit = min(max(int(arguments.get("limit") or LOGS_PAGE), 1), LARGEST_PAGE)
        offset = int(arguments.get("after") or 0)
        entries = await self._stores.logs.read(self._tenant, chosen, limit=limit, offset=offset)
        more = str(offset + limit) if len(entries) == limit else None
        return {"entries": [_log_line(entry) for entry in entries], "next": more}

    async def logs_purge(self, arguments: Arguments) -> dict[str, int]:
        chosen = LogFilter(
            namespace=arguments.get("namespace"),
            flow_id=arguments.get("flowId"),
            execution_id=arguments.get("executionId"),
            levels=_texts(arguments.get("logLevels")),
            since=arguments.get("startUs"),
            until=arguments.get("endUs"),
        )
        return {"count": await self._stores.logs.delete(self._tenant, chosen)}

    # --- the rest

    async def triggers_toggle(self, arguments: Arguments) -> None:
        namespace, flow_id = str(_required(arguments, "namespace")), str(_required(arguments, "flowId"))
        trigger_id = str(_required(arguments, "triggerId"))
        trigger = triggers.uid(self._tenant, namespace, flow_id, trigger_id)
        if not await self._stores.triggers.switch(trigger, bool(arguments.get("enabled"))):
            raise UserError(f"flow {namespace}.{flow_id} has no trigger {trigger_id} that is being run")

    async def storage_purge(self, arguments: Arguments) -> dict[str, int]:
        """Remove the files of executions that no longer exist."""
        counts = {"scannedCount": 0, "purgedCount": 0, "deletedFilesCount": 0}
        since, until = arguments.get("startUs"), arguments.get("endUs")
        for folder, files in await self._execution_folders(arguments):
            newest = max((stat.modified for stat in files), default=0)
            if (since is not None and newest < since) or (until is not None and newest > until):
                continue
            counts["scannedCount"] += 1
            id = folder.rpartition("/")[2]
            heads, _ = await self._stores.queries.search(self._tenant, ExecutionFilter(ids=[id]), limit=1)
            if heads:
                continue
            counts["purgedCount"] += 1
            counts["deletedFilesCount"] += len(files)
            if not arguments.get("dryRun"):
                await self._stores.files.delete(folder, recursive=True)
        return counts

    async def _execution_folders(self, arguments: Arguments) -> Iterable[tuple[str, list[Stat]]]:
        """Return the folders of executions with the files in them, of the namespace and flow asked for."""
        namespace, flow_id = arguments.get("namespace"), arguments.get("flowId")
        root = f"{SCHEME}/{str(namespace).replace('.', '/')}" if namespace else f"{SCHEME}/"
        if not await self._stores.files.exists(root):
            return ()
        folders: dict[str, list[Stat]] = {}
        for stat in await self._stores.files.list(root, recursive=True):
            above, found, below = stat.uri.partition("/executions/")
            if stat.is_folder or not found or (flow_id and above.rpartition("/")[2] != flow_id):
                continue
            folders.setdefault(f"{above}/executions/{below.partition('/')[0]}", []).append(stat)
        return folders.items()

    async def namespaces_list(self, _: Arguments) -> list[str]:
        names = set(await self._stores.flows.namespaces(self._tenant))
        names |= {row.namespace for row in await self._stores.kv.list(self._tenant)}
        root = f"{SCHEME}/{paths.NAMESPACE_FILES}"
        if await self._stores.files.exists(root):
            names |= {stat.uri.rpartition("/")[2] for stat in await self._stores.files.list(root) if stat.is_folder}
        return sorted(names)

    async def text_encrypt(self, arguments: Arguments) -> dict[str, str]:
        if self._key is None:
            raise UserError(
                "there is no encryption key: set `encryption.key` (LEVADA_ENCRYPTION_KEY) to store secret values"
            )
        nonce = self._clock.random_bytes(sealing.NONCE_BYTES)
        return sealing.seal(self._key, str(_required(arguments, "text")), nonce)

    async def kv_purge(self, arguments: Arguments) -> dict[str, int]:
        now, count = self._clock.now_us(), 0
        pattern = arguments.get("keyPattern") or "*"
        for namespace in arguments.get("namespaces") or ():
            for row in await self._stores.kv.list(self._tenant, str(namespace)):
                gone = row.expires is not None and row.expires <= now
                if fnmatch.fnmatchcase(row.key, pattern) and (gone or not arguments.get("expiredOnly", True)):
                    count += await self._stores.kv.delete(self._tenant, row.namespace, row.key)
        return {"count": count}


def _required(arguments: Arguments, name: str) -> Any:
    value = arguments.get(name)
    if value is None:
        raise UserError(f"argument `{name}` is missing")
    return value


def _texts(value: Sequence[Any] | None) -> list[str] | None:
    return None if value is None else [str(item) for item in value]


def _states(arguments: Arguments) -> list[State]:
    try:
        return [State(state) for state in arguments.get("states") or ()]
    except ValueError as error:
        raise UserError(f"{error}; states are {', '.join(State)}") from error


def _filter(
    arguments: Arguments, *, namespace: str | None, flow_id: str | None, exact: bool = False
) -> ExecutionFilter:
    return ExecutionFilter(
        namespace=namespace,
        exact=exact,
        flow_id=flow_id,
        states=_states(arguments),
        since=arguments.get("startUs"),
        until=arguments.get("endUs"),
    )


def _ended(arguments: Arguments) -> ExecutionFilter:
    """Return the filter of a purge: of the states asked for those that are final, else all that are."""
    asked = _states(arguments)
    ended = [state for state in asked or sorted(TERMINAL) if state.is_terminal]
    if asked and not ended:
        raise UserError(f"only ended executions can be purged, not those that are {', '.join(asked)}")
    return ExecutionFilter(
        namespace=arguments.get("namespace"),
        flow_id=arguments.get("flowId"),
        states=ended,
        since=arguments.get("startUs"),
        until=arguments.get("endUs"),
    )


def _log_line(entry: LogEntry) -> dict[str, Any]:
    moment = datetime.fromtimestamp(entry.at // 1_000_000, UTC).replace(microsecond=entry.at % 1_000_000)
    return {
        "namespace": entry.namespace,
        "flowId": entry.flow_id,
        "executionId": entry.execution_id,
        "taskId": entry.task_id,
        "taskRunId": entry.task_run_id,
        "attemptNumber": entry.attempt,
        "triggerId": entry.trigger_id,
        "timestamp": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": entry.level,
        "thread": entry.thread,
        "message": entry.message,
    }
