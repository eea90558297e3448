"""One batch in memory: commands in, one `Commit` out.

Decides every record in order on the same objects, so that ten commands of one execution are one write. Nothing here
waits: what the decisions need (executions, flows, slots) was fetched by the executor before.

A record that can not be read becomes a dead letter. A command that makes the engine raise is a `Poisoned`: the executor
then tries it alone, and if it raises again the execution ends FAILED with the error, visibly, and the batch goes on.
"""

import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any, assert_never

import msgspec

from levada import engine
from levada.bus.port import UNREADABLE, Record
from levada.model import commands as cmd
from levada.model.effects import (
    AnnounceChange,
    ArmTimer,
    CancelJob,
    ClaimSlot,
    Effect,
    JoinQueue,
    ReleaseSlot,
    SendCommand,
    SubmitJob,
    WriteLogs,
    WriteMetrics,
)
from levada.model.errors import UserError
from levada.model.execution import Execution
from levada.model.flow import Flow
from levada.model.states import State
from levada.runtime import logs
from levada.store.port import Commit, DeadLetter, ExecutionWrite, OutEntry, SlotChange
from levada_executor.observing import Decided
from levada_executor.ordering import NOT_FROM_THE_BUS

log = logging.getLogger("levada.executor")


class Poisoned(Exception):
    """The engine raised on this record."""

    def __init__(self, record: Record, command: cmd.Command, error: Exception) -> None:
        super().__init__(f"{type(command).__name__} of {command.execution_id}: {error}")
        self.record = record
        self.command = command
        self.error = error


class Announcement(msgspec.Struct, frozen=True):
    execution_id: str
    state: State
    terminal: bool


class Batch:
    """Collects what a run of records does. `executions` and `flows` are what the executor fetched for them."""

    def __init__(
        self,
        *,
        executions: dict[str, Execution | None],
        flows: Callable[[cmd.Command, Execution | None], Flow | None],
        environment: engine.Environment,
        now: Callable[[], int],
        out_next: Mapping[int, int],
    ) -> None:
        self.executions = executions
        self._flows = flows
        self._environment = environment
        self._now = now
        self._out_next = dict(out_next)
        self._writes: dict[str, ExecutionWrite] = {}
        self._positions: dict[int, int] = {}
        self._slots: list[SlotChange] = []
        self._out: list[OutEntry] = []
        self._commit = Commit(owned={}, positions={})
        self.announcements: list[Announcement] = []
        self.decided = Decided()
        self.began = now()
        self.records = 0
        self.submitted = 0
        self.cancelled = 0
        self.next_due: int | None = None

    @property
    def touched(self) -> list[str]:
        return list(self._writes)

    @property
    def out(self) -> list[OutEntry]:
        return self._out

    @property
    def out_next(self) -> dict[int, int]:
        return self._out_next

    def commit(self, owned: dict[int, int], relayed: dict[int, int]) -> Commit:
        """Return everything as one unit of writing."""
        self._commit.owned = owned
        self._commit.positions = self._positions
        self._commit.writes = [write for write in self._writes.values() if write.events or write.fired]
        self._commit.slots = self._slots
        self._commit.out = self._out
        self._commit.relayed = relayed
        return self._commit

    # -- records ---------------------------------------------------------------------------------------------------
    def add(self, record: Record, command: cmd.Command | None) -> None:
        """Apply a record; `command` None: it could not be read. Raises Poisoned."""
        if command is None:
            self.bury(record, record.headers.get(UNREADABLE) or "the message can not be read", None)
        else:
            try:
                self._decide(record.partition, command)
                self.decided.add(record, command)
            except UserError as refusal:
                self._refused(record, command, refusal)
            except Exception as error:
                raise Poisoned(record, command, error) from error
        self._done(record)
        self.records += 1

    def skip(self, record: Record) -> None:
        """Pass over a record that was applied before."""
        self._move(record)

    def _move(self, record: Record) -> None:
        if record.offset != NOT_FROM_THE_BUS:
            self._positions[record.partition] = record.offset + 1

    def _done(self, record: Record) -> None:
        self._move(record)
        if record.id:
            self._commit.applied.append(record.id)

    def add_poisoned(self, record: Record, command: cmd.Command, error: Exception) -> None:
        """The command raised twice: fail its execution, keep the record for whoever repairs it. Never raises."""
        reason = f"{type(error).__name__}: {error}"
        self.decided.poisoned += 1
        self.bury(record, f"the engine raised {reason}", "".join(traceback.format_exception(error)))
        self._done(record)
        fault: cmd.Command = cmd.FaultExecution(execution_id=command.execution_id, error=reason)
        if self.executions.get(command.execution_id) is None:
            if not isinstance(command, cmd.StartExecution):
                return
            # Somebody was told that this execution exists: it must be there to be seen failed.
            failure = f"Levada could not start this execution: {reason}"
            fault = msgspec.structs.replace(command, failure=failure, resolved=True, replay_of=None, replay_from=None)
        try:
            self._decide(record.partition, fault)
        except Exception:  # whatever it is: one bad record must never stop its partition
            log.exception("execution %s can not even be failed; only the dead letter stays", command.execution_id)

    def bury(self, record: Record, reason: str, detail: str | None) -> None:
        with logs.bound(execution_id=record.key):
            log.error(
                "record %s/%s of %s becomes a dead letter: %s", record.partition, record.offset, record.key, reason
            )
        self._commit.dead.append(
            DeadLetter(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                key=record.key,
                reason=reason,
                detail=detail,
                body=record.body,
                at=self._now(),
            )
        )

    def _refused(self, record: Record, command: cmd.Command, refusal: UserError) -> None:
        """A wish that came too late is no error; an acknowledged start that can not happen must not vanish."""
        if isinstance(command, cmd.StartExecution):
            self.bury(record, f"the execution can not start: {refusal}", None)
            self.announcements.append(Announcement(command.execution_id, State.FAILED, terminal=True))
            return
        log.debug("%s of %s refused: %s", type(command).__name__, command.execution_id, refusal)
        self.announcements.append(Announcement(command.execution_id, State.CREATED, terminal=False))

    # -- decisions -------------------------------------------------------------------------------------------------
    def _decide(self, partition: int, command: cmd.Command) -> None:
        execution = self.executions.get(command.execution_id)
        read_seq = execution.seq if execution is not None else 0
        flow = self._flows(command, execution)
        source = None
        if isinstance(command, cmd.StartExecution) and command.replay_of is not None:
            source = self.executions.get(command.replay_of)
        decision = engine.decide(execution, flow, command, self._now(), self._environment, source)
        if decision.execution is not None:
            self.executions[command.execution_id] = decision.execution
            write = self._writes.get(command.execution_id)
            if write is None:
                write = ExecutionWrite(execution=decision.execution, read_seq=read_seq, events=[], partition=partition)
                self._writes[command.execution_id] = write
            write.events.extend(decision.events)
            if isinstance(command, cmd.TimerFired):
                write.fired.append((command.seq, command.kind))
        for effect in decision.effects:
            self._interpret(partition, command.execution_id, effect)

    def _interpret(self, partition: int, execution_id: str, effect: Effect) -> None:
        """Turn an effect into a part of the commit; nothing is performed here."""
        match effect:
            case SubmitJob():
                self._writes[execution_id].submitted.append(effect.job)
                self.submitted += 1
            case CancelJob():
                self._withdraw(execution_id, effect.task_run_id)
            case SendCommand():
                off = self._out_next[partition]
                self._out_next[partition] = off + 1
                self._out.append(OutEntry(partition, off, effect.command))
            case ArmTimer():
                self._writes[execution_id].timers.append(effect)
                self.next_due = effect.due if self.next_due is None else min(self.next_due, effect.due)
            case WriteLogs():
                self._commit.logs.extend(effect.entries)
            case WriteMetrics():
                self._commit.metrics.extend(effect.entries)
            case AnnounceChange():
                self.announcements.append(Announcement(execution_id, effect.state, effect.terminal))
            case ClaimSlot() | JoinQueue() | ReleaseSlot():
                self._slot(execution_id, effect)
            case _:
                assert_never(effect)

    def _withdraw(self, execution_id: str, task_run_id: str) -> None:
        write = self._writes[execution_id]
        write.submitted = [job for job in write.submitted if job.task_run_id != task_run_id]
        write.withdrawn.append(task_run_id)
        self.cancelled += 1

    def _slot(self, execution_id: str, effect: ClaimSlot | JoinQueue | ReleaseSlot) -> None:
        kinds: dict[type[Any], str] = {ClaimSlot: "claim", JoinQueue: "queue", ReleaseSlot: "release"}
        kind = kinds[type(effect)]
        limit = effect.limit or None
        if kind == "claim":
            held = self._environment.slots
            held[effect.flow_key] = held.get(effect.flow_key, 0) + 1
        at = effect.at if isinstance(effect, JoinQueue) else self._now()
        change = SlotChange(kind=kind, flow_key=effect.flow_key, execution_id=execution_id, at=at, limit=limit)
        self._slots.append(change)
