"""The executor's loop: poll a batch of commands, decide in memory, write once, then tell the world.

    settle our partitions → poll → fetch what is needed → decide all records → ONE commit → send, announce

Offsets live in Postgres and move in the transaction that applies the records, so a crash anywhere replays nothing and
loses nothing. The commit carries the epoch of every owned partition: whoever was replaced is fenced there. What must go
out (commands to other executions) is part of the commit and sent afterwards; `relay_off` remembers what the bus has.
Several executors share the partitions (`Assignment`); they are taken and given back only here, between two batches.

After any doubt (connection lost in the middle of a commit) nothing in memory is believed: partitions are owned anew,
positions read again, committed but unsent commands sent again. Receivers ignore repeats by natural key.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from levada import engine
from levada.bus.port import COMMANDS, Bus, Outgoing, PositionLost
from levada.model import commands as cmd
from levada.model.errors import Transient
from levada.model.execution import Execution
from levada.model.flow import Flow
from levada.model.states import State
from levada.runtime import logs
from levada.runtime.clock import Clock
from levada.store.encoding import out_id
from levada.store.members import Ownership
from levada.store.port import ExecutionStore, Fenced, Ingress, OutEntry, Repeated, SequenceConflict, SlotConflict
from levada_executor import observing, ordering
from levada_executor.batch import Batch, Poisoned
from levada_executor.cache import ExecutionCache
from levada_executor.ordering import Work
from levada_executor.ports import Announcer, Assignment, ChangeSink, FlowSource

log = logging.getLogger("levada.executor")

MAX_RECORDS = 200
MAX_BYTES = 1024 * 1024
POLL_S = 0.5
SEND_CHUNK = 500
#: Pause of an executor that has no partition: there are more executors than partitions, or it has just come.
IDLE_S = 0.1


class Executor:
    """One executor over the partitions it owns. `wake_workers` and `wake_timers` are called after a commit."""

    def __init__(
        self,
        *,
        store: ExecutionStore,
        bus: Bus,
        flows: FlowSource,
        hub: Announcer,
        clock: Clock,
        environment: engine.Environment,
        assignment: Assignment,
        ingress: Ingress | None = None,
        changes: ChangeSink | None = None,
        wake_workers: Callable[[], None] = lambda: None,
        wake_timers: Callable[[int], None] = lambda due: None,
        failpoint: Callable[[str], None] = lambda name: None,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """`ingress` where the bus may lose or repeat what it holds; `changes` where others want to hear of them."""
        self._store = store
        self._bus = bus
        self._flows = flows
        self._hub = hub
        self._clock = clock
        self._environment = environment
        self._assignment = assignment
        self._ingress = ingress
        self._changes = changes
        self._wake_workers = wake_workers
        self._wake_timers = wake_timers
        self._failpoint = failpoint
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._cache = ExecutionCache()
        self._owned: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._out_next: dict[int, int] = {}
        self._relayed: dict[int, int] = {}
        self._relay_saved: dict[int, int] = {}
        self.batches = 0
        self.records = 0

    # -- ownership -------------------------------------------------------------------------------------------------
    @property
    def owned(self) -> Collection[int]:
        """The partitions that this executor owns, as far as it knows."""
        return self._owned.keys()

    @property
    def positions(self) -> dict[int, int]:
        """How far the partitions are applied."""
        return {part: self._positions[part] for part in self._owned}

    async def take_over(self) -> None:
        """After any doubt: believe nothing in memory, own anew what is ours, send what was committed but not sent."""
        self._forget()
        await self._adopt(await self._assignment.again())
        await self.rebalance()
        self._failpoint("executor.owned")

    async def rebalance(self) -> None:
        """Give back what is beyond our share and take what we lack of it. Raises Fenced when some is others' by now."""
        lost = self._assignment.lost(self._owned)
        if lost:
            raise Fenced(f"partitions {lost} of the commands topic were taken over by others")
        surplus = self._assignment.surplus(self._owned)
        if surplus:
            await self.give_back(surplus)
        await self._adopt(await self._assignment.take(self._owned))

    async def give_back(self, partitions: Collection[int]) -> None:
        """Let others have these partitions. What the bus has acknowledged is saved first, so nothing is sent twice."""
        await self.save_relay()
        for part in partitions:
            del self._owned[part], self._positions[part], self._out_next[part]
            del self._relayed[part], self._relay_saved[part]
        self._cache.clear()
        observing.rebalanced(0, len(partitions), len(self._owned))
        await self._assignment.give_back(partitions)

    async def _adopt(self, taken: Sequence[Ownership]) -> None:
        for owned in taken:
            self._owned[owned.partition] = owned.epoch
            self._positions[owned.partition] = owned.done_off
            self._out_next[owned.partition] = owned.out_next
            self._relayed[owned.partition] = self._relay_saved[owned.partition] = owned.relay_off
        if taken:
            observing.rebalanced(len(taken), 0, len(self._owned))
        for owned in taken:
            unsent = await self._store.unsent(owned.partition, owned.relay_off)
            if unsent:
                log.info("sending %d committed commands of partition %d again", len(unsent), owned.partition)
                await self._send(unsent)

    def _forget(self) -> None:
        self._cache.clear()
        for known in (self._owned, self._positions, self._out_next, self._relayed, self._relay_saved):
            known.clear()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then give all partitions back. Raises Defect; Transient errors are ridden out with back-off.

        A sequence conflict is looked at twice: an execution purged between load and commit is one, and gone the second
        time; a second writer is still there.
        """
        pause = 0.05
        conflicts = 0
        while not stop.is_set():
            try:
                await self.take_over()
                while not stop.is_set():
                    await self.rebalance()
                    await self.step(POLL_S)
                    pause, conflicts = 0.05, 0
                await self.give_back(list(self._owned))
            except SequenceConflict as conflict:
                conflicts += 1
                if conflicts > 1:
                    raise
                log.warning("reading everything again: %s", conflict)
            except PositionLost as lost:
                await self._begin_again(lost)
            except Fenced as fenced:
                log.warning("reading everything again: %s", fenced)
            except Transient as error:
                log.warning("the executor starts over in %.2f s: %s", pause, error)
                await self._clock.sleep(pause * (0.5 + self._clock.random()))
                pause = min(pause * 2, 2.0)

    async def _begin_again(self, lost: PositionLost) -> None:
        """The bus lost its log. Read what it has; what was accepted and not applied is still known, and is sent again."""
        log.critical("%s. Reading from %d; what was accepted is sent again", lost, lost.start)
        epoch = self._owned.get(lost.partition)
        if epoch is not None:
            await self._store.rewind(lost.partition, epoch, lost.start)

    async def step(self, timeout_s: float) -> int:
        """Poll once and apply what came; return the number of records."""
        if not self._owned:
            await self._clock.sleep(min(timeout_s, IDLE_S))
            return 0
        records = await self._bus.poll(
            COMMANDS, self._positions, max_records=self._max_records, max_bytes=self._max_bytes, timeout_s=timeout_s
        )
        if not records:
            await self.save_relay()
            return 0
        self._failpoint("executor.polled")
        work = ordering.read(records)
        if self._ingress is not None:
            work = await ordering.in_order(work, self._ingress, self._unstarted)
        await self._apply(work)
        return len(records)

    async def save_relay(self) -> None:
        """Store how far the bus has acknowledged, when nothing else is to be written."""
        if self._relayed != self._relay_saved:
            await self._write(self._new_batch({}))

    def _unstarted(self, result: ordering.Result) -> bool:
        """Whether the start of this result's attempt has not come yet, as far as memory says."""
        execution = self._cache.get(result.execution_id)
        run = execution.task_runs.get(result.task_run_id) if execution is not None else None
        return run is None or (run.state is State.SUBMITTED and run.attempt == result.attempt)

    # -- one batch -------------------------------------------------------------------------------------------------
    async def _apply(self, work: Sequence[Work]) -> None:
        executions = await self._fetch([one.command for one in work if one.command is not None and not one.repeated])
        batch = self._new_batch(executions)
        for number, one in enumerate(work):
            if one.repeated:
                batch.skip(one.record)
                continue
            try:
                batch.add(one.record, one.command)
            except Poisoned as poisoned:
                await self._isolate(work, number, poisoned)
                return
        try:
            await self._write(batch)
        except SlotConflict as conflict:
            log.info("deciding a batch again: %s", conflict)
            await self._apply(work)
        except Repeated as repeats:
            log.info("deciding a batch again without some: %s", repeats)
            await self._apply(await self._without_repeats(work))

    async def _without_repeats(self, work: Sequence[Work]) -> list[Work]:
        assert self._ingress is not None
        pending = await self._ingress.pending([one.record.id for one in work if one.record.id])
        return [
            Work(one.record, one.command, one.repeated or bool(one.record.id and one.record.id not in pending))
            for one in work
        ]

    async def _isolate(self, work: Sequence[Work], number: int, poisoned: Poisoned) -> None:
        """Apply what came before the poisonous record, then that record alone, then the rest."""
        with logs.bound(execution_id=poisoned.command.execution_id):
            log.error("isolating a record: %s", poisoned, exc_info=poisoned.error)
        self._cache.clear()
        if number:
            await self._apply(work[:number])
        record, command, _ = work[number]
        assert command is not None
        executions = await self._fetch([command])
        batch = self._new_batch(executions)
        try:
            batch.add(record, command)
        except Poisoned as again:
            executions = await self._fetch([command], fresh=True)
            batch = self._new_batch(executions)
            batch.add_poisoned(record, command, again.error)
        await self._write(batch)
        if number + 1 < len(work):
            await self._apply(work[number + 1 :])

    def _new_batch(self, executions: dict[str, Execution | None]) -> Batch:
        return Batch(
            executions=executions,
            flows=self._flow_of,
            environment=self._environment,
            now=self._clock.now_us,
            out_next=self._out_next,
        )

    async def _fetch(self, commands: Sequence[cmd.Command], *, fresh: bool = False) -> dict[str, Execution | None]:
        """Return the executions that the commands concern, and have their flows and slots at hand."""
        wanted = dict.fromkeys(command.execution_id for command in commands)
        wanted.update(dict.fromkeys(c.replay_of for c in commands if isinstance(c, cmd.StartExecution) and c.replay_of))
        if fresh:
            self._cache.forget(wanted)
        found: dict[str, Execution | None] = {id_: self._cache.get(id_) for id_ in wanted}
        missing = [id_ for id_, execution in found.items() if execution is None]
        if missing:
            found.update(await self._store.load(missing))
        await self._prepare_flows(commands, found)
        return found

    async def _prepare_flows(self, commands: Sequence[cmd.Command], found: dict[str, Execution | None]) -> None:
        flows: set[tuple[str, str, str, int | None]] = set()
        for command in commands:
            execution = found.get(command.execution_id)
            if execution is not None:
                flows.add((execution.tenant, execution.namespace, execution.flow_id, _revision(command, execution)))
            elif isinstance(command, cmd.StartExecution):
                flows.add((command.tenant, command.namespace, command.flow_id, command.flow_revision))
        await self._flows.prepare(flows)
        limited = {
            flow.key for key in flows if (flow := self._flows.find(*key)) is not None and flow.concurrency is not None
        }
        self._environment.slots.clear()
        if limited:
            self._environment.slots.update(await self._store.slots(sorted(limited)))

    def _flow_of(self, command: cmd.Command, execution: Execution | None) -> Flow | None:
        if execution is not None:
            return self._flows.find(
                execution.tenant, execution.namespace, execution.flow_id, _revision(command, execution)
            )
        if isinstance(command, cmd.StartExecution):
            return self._flows.find(command.tenant, command.namespace, command.flow_id, command.flow_revision)
        return None

    # -- writing and telling ---------------------------------------------------------------------------------------
    async def _write(self, batch: Batch) -> None:
        """Commit, then send and announce. After an exception nothing in memory is believed any more."""
        commit = batch.commit(dict(self._owned), dict(self._relayed))
        self._failpoint("executor.before_commit")
        asked = self._clock.monotonic()
        try:
            admitted = await self._store.commit(commit)
        except BaseException as error:
            self._cache.forget(batch.executions)
            observing.refused(error)
            raise
        commit_s = self._clock.monotonic() - asked
        self._failpoint("executor.after_commit")
        self.batches += 1
        self.records += batch.records
        observing.committed(
            batch.decided, commit, batch.records, observing.Times(batch.began, self._clock.now_us(), commit_s)
        )
        self._positions.update(commit.positions)
        self._relay_saved = dict(commit.relayed)
        out = batch.out
        self._out_next = batch.out_next
        out.extend(self._admissions(admitted))
        for write in commit.writes:
            write.execution.dirty.clear()
            self._cache.keep(write.execution)
        if batch.submitted or batch.cancelled:
            self._wake_workers()
        if batch.next_due is not None:
            self._wake_timers(batch.next_due)
        for change in batch.announcements:
            self._hub.announce(change.execution_id, change.state, change.terminal)
        if self._changes is not None:
            self._changes.publish(batch.announcements, [write.execution for write in commit.writes])
        await self._send(out)
        self._failpoint("executor.after_send")

    def _admissions(self, admitted: Sequence[tuple[str, str, int]]) -> list[OutEntry]:
        """The store wrote these at the end of the first partition's out log; they are sent like the others."""
        first = min(self._owned)
        entries = []
        for _, execution_id, queued in admitted:
            command = cmd.AdmitExecution(execution_id=execution_id, queued=queued)
            entries.append(OutEntry(first, self._out_next[first], command))
            self._out_next[first] += 1
        return entries

    async def _send(self, entries: Sequence[OutEntry]) -> None:
        """Append committed commands to the bus, in order, and remember the acknowledgement."""
        for at in range(0, len(entries), SEND_CHUNK):
            chunk = entries[at : at + SEND_CHUNK]
            await self._bus.append([_outgoing(entry) for entry in chunk])
            self._failpoint("executor.sent")
            for entry in chunk:
                self._relayed[entry.partition] = max(self._relayed.get(entry.partition, 0), entry.off + 1)


def _outgoing(entry: OutEntry) -> Outgoing:
    command = entry.command
    return Outgoing(COMMANDS, command.execution_id, cmd.encode(command), out_id(entry.partition, entry.off))


def _revision(command: cmd.Command, execution: Execution) -> int:
    """A restart may ask for another revision; everything else stays on the execution's own."""
    if isinstance(command, cmd.RestartExecution) and command.flow_revision is not None:
        return command.flow_revision
    return execution.flow_revision
