"""The store port: what Levada keeps in Postgres, as the rest of the code asks for it.

`ExecutionStore` is the executor's side: one `commit` call is one transaction and carries everything that one batch
decided. The other protocols are what api, worker gateway and housekeeping read and write. Adapters: `store/postgres/`
(the truth) and `store/memory/` (unit tests, simulation). One contract suite (tests/contract/test_store.py) runs over both.

All times are epoch microseconds. Every method raises `Transient` when the database is away.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from levada.model.commands import Command
from levada.model.effects import ArmTimer
from levada.model.errors import Defect, Transient, UserError
from levada.model.events import Event
from levada.model.execution import Execution, ExecutionHead
from levada.model.jobs import Job, LogEntry, MetricEntry
from levada.model.states import State
from levada.store.members import Ownership


class Fenced(Transient):
    """Another executor owns this partition now."""


class SlotConflict(Transient):
    """The concurrency slots changed between decision and commit; decide again."""

    def __init__(self, flow_key: str) -> None:
        super().__init__(f"the concurrency slots of {flow_key} changed meanwhile")
        self.flow_key = flow_key


class Repeated(Transient):
    """Some of the accepted commands of a batch were applied before: take them out and decide again."""


class SequenceConflict(Defect):
    """Somebody else wrote events of an execution that this executor owns."""


class Accepted(msgspec.Struct, frozen=True):
    """A command that was acknowledged and is not applied yet. `at` is when it was accepted, epoch microseconds."""

    id: str
    partition: int
    at: int
    key: str
    body: bytes
    #: Trace context on the way to the bus; not kept.
    headers: Mapping[str, str] = {}


class Ingress(Protocol):
    """What was accepted while the bus is elsewhere: the promise that it is never lost. Applying it removes it (Commit)."""

    async def accept(self, commands: Sequence[Accepted]) -> None:
        """Keep durably, in one statement; returns after the commit."""

    async def pending(self, ids: Sequence[str]) -> set[str]:
        """Return those that are not applied yet."""

    async def waiting(self, partitions: Sequence[int], before: int, limit: int) -> list[Accepted]:
        """Return what was accepted before then for these partitions and is not applied yet, oldest first."""

    async def of(self, partitions: Sequence[int], keys: Sequence[str]) -> list[Accepted]:
        """Return what is not applied yet for these keys, which are of these partitions, in the order of acceptance.

        What was accepted after the answer to an earlier `accept` comes after it, whatever the clocks of the callers say.
        """


class OutEntry(msgspec.Struct, frozen=True):
    """A command committed for another execution, to be appended to the bus after commit (`off` gapless per partition)."""

    partition: int
    off: int
    command: Command


class ExecutionWrite(msgspec.Struct, kw_only=True):
    """The new events of one execution. `read_seq` is the seq before them: the fence against a second writer.

    `execution` is the state after them; of its task runs only `dirty` ones are written, and rows of dirty ids that it no
    longer has are deleted. `submitted` are attempts for the
    work queue, `withdrawn` ids of task runs whose attempt is no longer wanted there.
    """

    execution: Execution
    read_seq: int
    events: list[Event]
    submitted: list[Job] = []
    withdrawn: list[str] = []
    timers: list[ArmTimer] = []
    fired: list[tuple[int, str]] = []
    #: Partition of the commands topic that the execution belongs to.
    partition: int = 0


class SlotChange(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is claim, queue or release (see model.effects); `at` orders the queue."""

    kind: str
    flow_key: str
    execution_id: str
    at: int
    limit: int | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    topic: str
    partition: int
    offset: int
    key: str
    reason: str
    body: bytes
    at: int
    id: int = 0
    detail: str | None = None


class Commit(msgspec.Struct, kw_only=True):
    """Everything one batch decided. `owned` and `positions` are per partition of the commands topic.

    `relayed` is the out offset up to which the bus has acknowledged (exclusive).
    """

    owned: dict[int, int]
    positions: dict[int, int]
    writes: list[ExecutionWrite] = []
    slots: list[SlotChange] = []
    out: list[OutEntry] = []
    relayed: dict[int, int] = {}
    logs: list[LogEntry] = []
    metrics: list[MetricEntry] = []
    dead: list[DeadLetter] = []
    #: Ids of accepted commands (Ingress) that this batch applies.
    applied: list[str] = []


class DueTimer(msgspec.Struct, frozen=True):
    execution_id: str
    seq: int
    kind: str
    due: int
    task_run_id: str | None


class ExecutionStore(Protocol):
    async def own(self, partitions: Sequence[int], owner: str) -> list[Ownership]:
        """Take the partitions over: raises their epoch, so that whoever held them is fenced from now on."""

    async def unsent(self, partition: int, from_off: int) -> list[OutEntry]:
        """Return committed commands at or after `from_off`, in order."""

    async def load(self, ids: Sequence[str]) -> dict[str, Execution]:
        """Return the executions that exist, with all task runs in order of creation and indexes built."""

    async def slots(self, flow_keys: Sequence[str]) -> dict[str, int]:
        """Return how many executions hold a slot of each flow."""

    async def commit(self, batch: Commit) -> list[tuple[str, str, int]]:
        """Write the batch in one transaction; return those admitted to freed slots: (flow_key, execution id, queued since).

        Admissions are made durable in the same transaction (as out entries of the batch's first partition).
        Raises Fenced (an epoch changed), Repeated, SlotConflict, SequenceConflict; after any of them nothing was written.
        """

    async def done_off(self, partition: int) -> int:
        """Return how far a partition is applied."""

    async def rewind(self, partition: int, epoch: int, position: int) -> None:
        """Read a partition from here on, because its log was lost. Raises Fenced."""

    async def due_timers(self, now: int, limit: int, partitions: Sequence[int] | None = None) -> list[DueTimer]:
        """Return timers due and not fired yet, oldest first, of executions in these partitions (None: in all)."""

    async def mark_fired(self, timers: Sequence[DueTimer]) -> None:
        """Remember that their commands are on the bus."""


class FlowRow(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of a flow; `source` byte for byte."""

    namespace: str
    id: str
    revision: int
    source: str
    updated: int
    tenant: str = "main"
    disabled: bool = False
    deleted: bool = False
    draft: bool = False
    labels: dict[str, str] = {}
    description: str | None = None


class Exists(UserError):
    """It exists already."""


class Missing(UserError):
    """It does not exist."""


class FlowStore(Protocol):
    async def get(
        self, tenant: str, namespace: str, id: str, revision: int | None = None, *, allow_deleted: bool = False
    ) -> FlowRow | None: ...

    async def save(self, row: FlowRow, *, must: str = "any") -> FlowRow:
        """Store as the next revision and return it with its number; identical source of a live flow changes nothing.

        `must` is "create" (raises Exists when a live flow has the id), "update" (raises Missing) or "any".
        """

    async def delete(self, tenant: str, namespace: str, id: str, at: int) -> FlowRow | None:
        """Add a deleted revision; None when there is no live flow."""

    async def revisions(self, tenant: str, namespace: str, id: str) -> list[FlowRow]: ...

    async def delete_revisions(self, tenant: str, namespace: str, id: str, revisions: Sequence[int]) -> int: ...

    async def search(
        self,
        tenant: str,
        *,
        text: str | None = None,
        namespace: str | None = None,
        namespace_prefix: bool = True,
        labels: Mapping[str, str] | None = None,
        sort: Sequence[tuple[str, bool]] = (),
        limit: int = 10,
        offset: int = 0,
    ) -> tuple[list[FlowRow], int]:
        """Latest live revisions and their total. `sort` is (field, descending)."""

    async def namespaces(self, tenant: str) -> list[str]: ...


class ExecutionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """All given parts must hold. Times bound `created`; `namespace` matches it and its children unless `exact`."""

    text: str | None = None
    namespace: str | None = None
    exact: bool = False
    flow_id: str | None = None
    ids: Sequence[str] | None = None
    states: Sequence[State] = ()
    not_states: Sequence[State] = ()
    labels: Mapping[str, str] = {}
    since: int | None = None
    until: int | None = None
    parent_id: str | None = None
    trigger_execution_id: str | None = None
    children: bool | None = None
    kinds: Sequence[str] | None = None


class ExecutionQueries(Protocol):
    async def search(
        self,
        tenant: str,
        filter: ExecutionFilter,
        *,
        sort: Sequence[tuple[str, bool]] = (),
        limit: int = 10,
        offset: int = 0,
    ) -> tuple[list[ExecutionHead], int]: ...

    async def events(self, execution_id: str) -> list[Event]: ...

    async def purge(self, ids: Sequence[str], *, logs: bool = True, metrics: bool = True) -> int:
        """Remove executions and what belongs to them; the caller removed their files."""


class LogFilter(msgspec.Struct, frozen=True, kw_only=True):
    execution_id: str | None = None
    task_id: str | None = None
    task_run_id: str | None = None
    attempt: int | None = None
    min_level: str | None = None
    task_ids: Sequence[str] | None = None
    levels: Sequence[str] | None = None
    namespace: str | None = None
    flow_id: str | None = None
    trigger_id: str | None = None
    text: str | None = None
    since: int | None = None
    until: int | None = None


class LogStore(Protocol):
    async def write(self, entries: Sequence[LogEntry]) -> None: ...

    async def read(
        self, tenant: str, filter: LogFilter, *, limit: int = 10_000, offset: int = 0, descending: bool = False
    ) -> list[LogEntry]: ...

    async def count(self, tenant: str, filter: LogFilter) -> int: ...

    async def delete(self, tenant: str, filter: LogFilter) -> int: ...


class MetricStore(Protocol):
    async def write(self, entries: Sequence[MetricEntry]) -> None: ...

    async def read(
        self,
        tenant: str,
        execution_id: str,
        *,
        task_id: str | None = None,
        task_run_id: str | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> tuple[list[MetricEntry], int]: ...

    async def delete(self, tenant: str, execution_id: str) -> int: ...


class KvRow(msgspec.Struct, frozen=True, kw_only=True):
    namespace: str
    key: str
    type: str
    value: Any
    created: int
    updated: int
    tenant: str = "main"
    description: str | None = None
    expires: int | None = None


class KvStore(Protocol):
    async def get(self, tenant: str, namespace: str, key: str) -> KvRow | None:
        """The row even when expired: the caller decides (410 or absent)."""

    async def put(self, row: KvRow, *, overwrite: bool = True) -> bool:
        """Return False, writing nothing, when it exists (unexpired) and must not be overwritten."""

    async def delete(self, tenant: str, namespace: str, key: str) -> bool: ...

    async def list(self, tenant: str, namespace: str | None = None, prefix: str = "") -> list[KvRow]: ...

    async def purge_expired(self, now: int, limit: int) -> int: ...
