"""`ExecutionStore` in memory. A commit is checked whole before any of it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from levada.model import jobs
from levada.model.commands import AdmitExecution
from levada.model.errors import Defect
from levada.model.execution import Execution
from levada.model.jobs import Job
from levada.store import encoding
from levada.store.changes import jobs_wanted, last_of_each, limits_of
from levada.store.members import Ownership
from levada.store.memory.tables import Lease, Owner, Slot, Tables, TaskRow, Timer
from levada.store.port import (
    Commit,
    DueTimer,
    ExecutionWrite,
    Fenced,
    OutEntry,
    Repeated,
    SequenceConflict,
    SlotChange,
    SlotConflict,
)

Slots = dict[str, dict[str, Slot]]


class MemoryExecutionStore:
    """`tables` may be shared with other stores and with the memory jobs (`tables.leases`)."""

    def __init__(
        self,
        tables: Tables | None = None,
        *,
        now_us: Callable[[], int],
        index: Callable[[Execution], None] = lambda _: None,
        ingress_partitions: int | None = None,
    ) -> None:
        """`ingress_partitions`: see PostgresExecutionStore."""
        self.tables = tables if tables is not None else Tables()
        self._now_us = now_us
        self._index = index
        self._ingress = ingress_partitions

    async def own(self, partitions: Sequence[int], owner: str) -> list[Ownership]:
        owned = []
        for part in sorted(partitions):
            row = self.tables.owners.setdefault(part, Owner())
            row.epoch += 1
            row.owner = owner
            owned.append(Ownership(part, row.epoch, row.done_off, row.out_next, row.relay_off))
        return owned

    async def unsent(self, partition: int, from_off: int) -> list[OutEntry]:
        return [entry for entry in self.tables.out.get(partition, []) if entry.off >= from_off]

    async def load(self, ids: Sequence[str]) -> dict[str, Execution]:
        found = {}
        for id in ids:
            head = self.tables.heads.get(id)
            if head is not None:
                rows = sorted(self.tables.task_runs.get(id, {}).values(), key=lambda row: row.n)
                found[id] = encoding.execution_from(head, (row.body for row in rows))
                self._index(found[id])
        return found

    async def slots(self, flow_keys: Sequence[str]) -> dict[str, int]:
        return {key: _held(self.tables.slots.get(key, {})) for key in flow_keys}

    async def done_off(self, partition: int) -> int:
        owner = self.tables.owners.get(partition)
        return owner.done_off if owner is not None else 0

    async def rewind(self, partition: int, epoch: int, position: int) -> None:
        owner = self.tables.owners.get(partition, Owner())
        if owner.epoch != epoch:
            raise Fenced(f"partition {partition} of the commands topic has another owner now")
        owner.done_off = position

    async def due_timers(self, now: int, limit: int, partitions: Sequence[int] | None = None) -> list[DueTimer]:
        due = [
            timer.due
            for timer in self.tables.timers.values()
            if not timer.fired and timer.due.due <= now and (partitions is None or timer.partition in partitions)
        ]
        return sorted(due, key=lambda timer: timer.due)[:limit]

    async def mark_fired(self, timers: Sequence[DueTimer]) -> None:
        for timer in timers:
            row = self.tables.timers.get((timer.execution_id, timer.seq, timer.kind))
            if row is not None:
                row.fired = True

    # --- the commit

    async def commit(self, batch: Commit) -> list[tuple[str, str, int]]:
        self._check_owners(batch)
        self._check_repeats(batch.applied)
        self._check_sequences(batch.writes)
        slots, admitted = self._decide_slots(batch.slots)
        self.tables.slots.update(slots)
        for write in batch.writes:
            self._write(write)
        self._move(batch, [AdmitExecution(execution_id=id, queued=queued) for _, id, queued in admitted])
        for id in batch.applied if self._ingress is not None else ():
            del self.tables.ingress[id]
        self.tables.logs.extend(batch.logs)
        self.tables.metrics.extend(batch.metrics)
        self.tables.dead.extend(batch.dead)
        return admitted

    def _check_owners(self, batch: Commit) -> None:
        lost = [part for part, epoch in batch.owned.items() if self.tables.owners.get(part, Owner()).epoch != epoch]
        if lost:
            raise Fenced(f"partitions {sorted(lost)} of the commands topic have another owner now")

    def _check_repeats(self, applied: Sequence[str]) -> None:
        if self._ingress is not None and not all(id in self.tables.ingress for id in applied):
            raise Repeated("some of these commands were applied before")

    def _check_sequences(self, writes: Sequence[ExecutionWrite]) -> None:
        for write in writes:
            found = self.tables.seqs.get(write.execution.id, 0)
            if found != write.read_seq:
                raise SequenceConflict(
                    f"execution {write.execution.id} is at event {found}, this executor read {write.read_seq}"
                )
        if len({write.execution.id for write in writes}) != len(writes):
            raise Defect("a commit holds two writes of one execution")

    def _decide_slots(self, changes: Sequence[SlotChange]) -> tuple[Slots, list[tuple[str, str, int]]]:
        """Return the flows' slots as they will be, and who is admitted. Raises SlotConflict."""
        final, limits = last_of_each(changes), limits_of(changes)
        flows = sorted({change.flow_key for change in final})
        slots = {
            key: {id: Slot(slot.holds, slot.at) for id, slot in self.tables.slots.get(key, {}).items()} for key in flows
        }
        for change in final:
            if change.kind == "release":
                slots[change.flow_key].pop(change.execution_id, None)
        for change in final:
            if change.kind != "release":
                slot = slots[change.flow_key].setdefault(change.execution_id, Slot(False, change.at))
                slot.holds = slot.holds or change.kind == "claim"
        for change in final:
            limit = limits.get(change.flow_key)
            if change.kind == "claim" and limit is not None and _held(slots[change.flow_key]) > limit:
                raise SlotConflict(change.flow_key)
        limited = [key for key in flows if key in limits]
        return slots, [(key, id, slots[key][id].at) for key in limited for id in _admit(slots[key], limits[key])]

    def _write(self, write: ExecutionWrite) -> None:
        execution, tables = write.execution, self.tables
        tables.heads[execution.id] = encoding.head_text(execution)
        tables.seqs[execution.id] = execution.seq
        if write.events:
            turn = (write.read_seq + 1, encoding.events_text(write.events))
            tables.events.setdefault(execution.id, []).append(turn)
        self._write_task_runs(write)
        for timer in write.timers:
            key = (execution.id, timer.seq, str(timer.kind))
            due = DueTimer(execution.id, timer.seq, timer.kind, timer.due, timer.task_run_id)
            tables.timers[key] = Timer(due, write.partition)
        for seq, kind in write.fired:
            tables.timers.pop((execution.id, seq, str(kind)), None)

    def _write_task_runs(self, write: ExecutionWrite) -> None:
        execution = write.execution
        rows = self.tables.task_runs.setdefault(execution.id, {})
        numbers = encoding.numbered(execution, write.read_seq)
        wanted = jobs_wanted(write)
        withdrawn = set(write.withdrawn) - wanted.keys()
        for id in sorted(execution.dirty | wanted.keys() | withdrawn):  # an order that every process agrees on
            run = execution.task_runs.get(id)
            key = (execution.id, id)
            if run is None:
                rows.pop(id, None)
                self.tables.leases.pop(key, None)
                continue
            n = rows[id].n if id in rows else numbers.get(id, 0)
            rows[id] = TaskRow(n, encoding.task_run_text(run))
            if id in wanted:
                self.tables.leases[key] = self._lease(wanted[id])
            elif id in withdrawn:
                self._withdraw(key)
            elif run.state not in encoding.LEASED:
                self.tables.leases.pop(key, None)

    def _lease(self, job: Job) -> Lease:
        since = self._now_us() if job.since is None else job.since
        return Lease("submitted", jobs.encode(job), job.queue, job.priority, job.attempt, since)

    def _withdraw(self, key: tuple[str, str]) -> None:
        lease = self.tables.leases.get(key)
        if lease is not None and lease.state == "submitted":
            del self.tables.leases[key]
        elif lease is not None:
            lease.state = "cancel"

    def _move(self, batch: Commit, admitted: Sequence[AdmitExecution]) -> None:
        """Move the positions and keep the commands to send."""
        owners = self.tables.owners
        for part, position in batch.positions.items():
            owners[part].done_off = position
        for part, relayed in batch.relayed.items():
            owners[part].relay_off = max(relayed, owners[part].relay_off)
        for entry in batch.out:
            self._keep(entry)
        for command in admitted:
            first = min(batch.owned)
            self._keep(OutEntry(first, owners[first].out_next, command))

    def _keep(self, entry: OutEntry) -> None:
        self.tables.out.setdefault(entry.partition, []).append(entry)
        self.tables.owners[entry.partition].out_next = entry.off + 1
        if self._ingress is not None:
            kept = encoding.accepted(entry, self._ingress, self._now_us())
            self.tables.ingress[kept.id] = kept


def _held(slots: dict[str, Slot]) -> int:
    return sum(slot.holds for slot in slots.values())


def _admit(slots: dict[str, Slot], limit: int) -> list[str]:
    """Give the free slots to those who wait longest; return their ids."""
    waiting = sorted((slot.at, id) for id, slot in slots.items() if not slot.holds)
    admitted = [id for _, id in waiting[: max(limit - _held(slots), 0)]]
    for id in admitted:
        slots[id].holds = True
    return admitted
