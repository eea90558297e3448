"""Fences taken away, one at a time: each must make the oracle speak, else workload or oracle are too weak.

A mutant is a context manager that patches the product. Some fences are held by a second one behind them (the events'
sequence behind the epoch): then only both together can be missed, and the mutant takes both.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from levada.engine import concurrency, results, timers
from levada.engine.turn import Turn
from levada.jobs.memory import MemoryJobs
from levada.model import commands as cmd
from levada.model.effects import TimerKind
from levada.model.execution import TaskRun
from levada.model.states import State
from levada.runtime.accepting import AcceptedCommands
from levada.runtime.partitions import Partitions
from levada.store.members import Ownership
from levada.store.memory import executions as store
from levada.store.memory import members as memory_members
from levada.store.memory import tables as memory_tables
from levada.store.memory.executions import MemoryExecutionStore
from levada.store.port import Commit
from levada_executor.executor import Executor
from levada_executor.reconcile import Reconciler
from levada_executor.timers import TimerLoop
from levada_worker.worker import Worker
from simulation.faults import CALM, Climate
from simulation.gremlins import FORGED
from simulation.loop import PROCESS
from simulation.world import World

Mutant = Callable[[], Any]

#: The module; the package exports its function under the same name.
decide = importlib.import_module("levada.engine.decide")


@contextmanager
def _patched(*patches: tuple[Any, str, Any]) -> Iterator[None]:
    active = [mock.patch.object(owner, name, new) for owner, name, new in patches]
    for patch in active:
        patch.start()
    try:
        yield
    finally:
        for patch in active:
            patch.stop()


def _nothing(*args: Any, **more: Any) -> None:
    return None


def no_epoch() -> Any:
    """A zombie's commit is not refused by the epoch of its partitions."""
    return _patched((MemoryExecutionStore, "_check_owners", _nothing))


def no_fence_at_all() -> Any:
    """Neither the epoch nor the sequence of events refuses a zombie's commit."""
    return _patched(
        (MemoryExecutionStore, "_check_owners", _nothing), (MemoryExecutionStore, "_check_sequences", _nothing)
    )


def token_ignored() -> Any:
    """A result counts for the present attempt whatever token it carries."""

    def current(turn: Turn, task_run_id: str, attempt: int, token: str) -> TaskRun | None:
        run = turn.execution.task_runs.get(task_run_id)
        return run if run is not None and run.state in results._HELD and run.attempt == attempt else None

    return _patched((results, "_current", current))


def attempt_ignored() -> Any:
    """A result of any attempt of the task run counts for the one that is running."""

    def current(turn: Turn, task_run_id: str, attempt: int, token: str) -> TaskRun | None:
        run = turn.execution.task_runs.get(task_run_id)
        given_out = token != FORGED
        return run if run is not None and run.state in results._HELD and given_out else None

    return _patched((results, "_current", current))


def starts_not_deduplicated() -> Any:
    """The same start again makes the execution again."""
    original = decide._start

    def start(execution: Any, *rest: Any) -> Any:
        return original(None, *rest)

    return _patched((decide, "_start", start))


def offsets_first() -> Any:
    """Positions are stored in a transaction of their own, before what the records caused."""
    original = MemoryExecutionStore.commit

    async def commit(self: MemoryExecutionStore, batch: Commit) -> Any:
        await original(self, Commit(owned=batch.owned, positions=batch.positions, relayed=batch.relayed))
        process = PROCESS.get()
        assert process is not None
        await process.loop.world.line(process).call("commit gap", _soon)  # type: ignore[attr-defined]
        return await original(self, batch)

    return _patched((MemoryExecutionStore, "commit", commit))


async def _soon() -> None:
    return None


def unsent_forgotten() -> Any:
    """A new owner does not send what was committed but not sent."""

    async def unsent(self: Any, partition: int, from_off: int) -> list[Any]:
        return []

    return _patched((MemoryExecutionStore, "unsent", unsent))


def relayed_before_sent() -> Any:
    """A commit stores its own commands as sent."""
    original = MemoryExecutionStore._move

    def move(self: MemoryExecutionStore, batch: Commit, admitted: Any) -> None:
        original(self, batch, admitted)
        for part in batch.owned:
            self.tables.owners[part].relay_off = self.tables.owners[part].out_next

    return _patched((MemoryExecutionStore, "_move", move))


def retry_timers_ask_nothing() -> Any:
    """The timer of a retry begins the task run whatever became of it."""
    original = timers.fired

    def fired(turn: Turn, command: cmd.TimerFired) -> None:
        run = turn.execution.task_runs.get(command.task_run_id or "")
        if command.kind == TimerKind.RETRY and run is not None:
            timers.tasks.begin(turn, run, turn.plan.nodes[run.task_id])
        else:
            original(turn, command)

    return _patched((decide, "_HANDLERS", {**decide._HANDLERS, cmd.TimerFired: fired}))


def timers_never_too_early() -> Any:
    """A timer of an earlier wait ends the present one."""
    return _patched((timers, "_is_due", lambda turn, run: True))


def timers_marked_first() -> Any:
    """Timers are marked as fired before their commands are sent."""

    async def fire(self: TimerLoop) -> int:
        from levada_executor.timers import _command

        due = await self._store.due_timers(self._clock.now_us(), 500, sorted(self._owned()))
        if due:
            await self._store.mark_fired(due)
            await self._commands.send([_command(timer) for timer in due])
        return len(due)

    return _patched((TimerLoop, "fire", fire))


def one_slot_too_many() -> Any:
    """The queue admits one more than the limit."""
    original = store._admit
    return _patched((store, "_admit", lambda slots, limit: original(slots, limit + 1)))


def slots_kept_when_killed() -> Any:
    """A killed execution keeps its slot."""
    original = concurrency.release

    def release(turn: Turn) -> None:
        if turn.execution.state is not State.KILLED:
            original(turn)

    return _patched((concurrency, "release", release))


def claims_shared() -> Any:
    """An attempt that is claimed is given to the next worker that asks."""
    original = MemoryJobs._claim

    async def claim(self: MemoryJobs[Any], *rest: Any) -> Any:
        for lease in self._leases.values():
            if lease.state == "claimed":
                lease.state = "submitted"
        return await original(self, *rest)

    return _patched((MemoryJobs, "_claim", claim))


def any_admission_counts() -> Any:
    """An admission of an earlier wait lets the execution run."""
    original = decide.lifecycle.admitted

    def admitted(turn: Turn, command: cmd.AdmitExecution) -> None:
        original(turn, cmd.AdmitExecution(execution_id=command.execution_id))

    return _patched((decide, "_HANDLERS", {**decide._HANDLERS, cmd.AdmitExecution: admitted}))


def losses_unnoticed() -> Any:
    """Leases that ran out are never reported."""

    async def expire(self: Any, limit: int) -> int:
        return 0

    return _patched((MemoryJobs, "expire", expire))


def losses_always_retried() -> Any:
    """`onWorkerLost: fail` is not looked at."""
    original = results.lost

    def lost(turn: Turn, command: cmd.WorkerLost) -> None:
        run = turn.execution.task_runs.get(command.task_run_id)
        if run is not None and run.attempt == command.attempt and run.state is State.RUNNING:
            results._again(turn, run, turn.plan.nodes[run.task_id], "the worker was lost")
        else:
            original(turn, command)

    return _patched((decide, "_HANDLERS", {**decide._HANDLERS, cmd.WorkerLost: lost}))


def losses_of_any_attempt() -> Any:
    """The loss of an old attempt's worker is taken for that of the present one."""
    original = results.lost

    def lost(turn: Turn, command: cmd.WorkerLost) -> None:
        run = turn.execution.task_runs.get(command.task_run_id)
        present = command if run is None else cmd.WorkerLost(
            execution_id=command.execution_id, task_run_id=command.task_run_id, attempt=run.attempt
        )  # fmt: skip
        original(turn, present)

    return _patched((decide, "_HANDLERS", {**decide._HANDLERS, cmd.WorkerLost: lost}))


def workers_do_not_fence() -> Any:
    """A worker that can not renew lets its tasks run on."""

    async def fence(self: Worker) -> None:
        await asyncio.Event().wait()

    return _patched((Worker, "_fence_loop", fence))


def withdrawn_stays_queued() -> Any:
    """A killed attempt that nobody has claimed stays in the queue."""

    def withdraw(self: MemoryExecutionStore, key: Any) -> None:
        return None

    def rows(self: MemoryExecutionStore, write: Any) -> None:
        kept = {key: lease for key, lease in self.tables.leases.items() if lease.state == "submitted"}
        original(self, write)
        for key, lease in kept.items():
            self.tables.leases.setdefault(key, lease)

    original = MemoryExecutionStore._write_task_runs
    return _patched((MemoryExecutionStore, "_withdraw", withdraw), (MemoryExecutionStore, "_write_task_runs", rows))


def ambiguous_commit_believed_failed() -> Any:
    """After a commit without an answer the executor goes on from what it has in memory."""
    original = Executor.take_over

    async def take_over(self: Executor) -> None:
        if not self._owned:
            await original(self)

    return _patched((Executor, "take_over", take_over))


# --- several executors, and a bus that is not the truth


def epochs_not_raised() -> Any:
    """Who takes a partition over does not fence the one who had it."""

    def unraised(part: int, row: Any) -> Ownership:
        return Ownership(part, row.epoch, row.done_off, row.out_next, row.relay_off)

    no_sequences = (MemoryExecutionStore, "_check_sequences", _nothing)
    return _patched((memory_members, "_raised", unraised), no_sequences)


def partitions_kept_when_lost() -> Any:
    """Who was silent beyond its lease does not look whether its partitions are others' by now."""
    return _patched((Partitions, "lost", lambda self, held: []))


def living_robbed_of_nothing() -> Any:
    """Partitions of the dead are not free: nobody takes them."""

    async def take(self: Any, service: str, topic: str, name: str, limit: int) -> list[Ownership]:
        rows = self._tables.owners_of(topic)
        free = [part for part, row in sorted(rows.items()) if not row.owner][:limit]
        for part in free:
            rows[part].owner = name
        return [memory_members._raised(part, rows[part]) for part in free]

    return _patched((memory_members.MemoryMembers, "take", take))


def unsent_forgotten_by_the_next_owner() -> Any:
    """Nobody sends again what was accepted and did not reach the bus."""

    async def look(self: Reconciler) -> int:
        return 0

    return _patched((Reconciler, "look", look))


def acknowledged_before_accepted() -> Any:
    """A command is acknowledged when it is on its way to the bus; the table `ingress` does not have it yet."""

    async def send(self: AcceptedCommands, commands: Any) -> None:
        self._deliver([self._accepted(command) for command in commands])

    return _patched((AcceptedCommands, "send", send), (MemoryExecutionStore, "_check_repeats", _nothing), _lenient())


def _lenient() -> tuple[Any, str, Any]:
    """A commit that takes out of `ingress` what is there, and does not mind what is not."""

    class Rows(dict[str, Any]):
        def __delitem__(self, key: str) -> None:
            self.pop(key, None)

    original = memory_tables.Tables.__init__

    def init(self: Any, *args: Any, **more: Any) -> None:
        original(self, *args, **more)
        self.ingress = Rows()

    return (memory_tables.Tables, "__init__", init)


def repeats_applied() -> Any:
    """A record that was applied before is applied again."""
    return _patched((MemoryExecutionStore, "_check_repeats", _nothing), _lenient())


def accepted_rows_removed_when_read() -> Any:
    """An accepted command is taken out of the table when it is read, before what it causes is committed."""
    original = Executor._apply

    async def apply(self: Executor, work: Any) -> None:
        if self._ingress is not None:
            for one in work:
                self._ingress._ingress._rows.pop(one.record.id, None)  # type: ignore[attr-defined]
        await original(self, work)

    check = (MemoryExecutionStore, "_check_repeats", _nothing)
    return _patched((Executor, "_apply", apply), check, _lenient())


def outgoing_not_accepted() -> Any:
    """Commands to other executions go out without a row in `ingress`."""
    original = MemoryExecutionStore._keep

    def keep(self: MemoryExecutionStore, entry: Any) -> None:
        ingress, self._ingress = self._ingress, None
        original(self, entry)
        self._ingress = ingress

    check = (MemoryExecutionStore, "_check_repeats", _nothing)
    return _patched((MemoryExecutionStore, "_keep", keep), check, _lenient())


def lost_log_not_noticed() -> Any:
    """Who finds the log of a partition gone waits for it to grow again."""

    async def begin_again(self: Executor, lost: Any) -> None:
        await self._clock.sleep(1.0)

    return _patched((Executor, "_begin_again", begin_again))


ROUGH = Climate(fail_before=0.02, fail_after=0.02, crash=0.008, freeze=0.004, slow=0.01, duplicate=0.2, gremlins=0.3)
REPEATS = Climate(duplicate=0.7, slow=0.05)
ZOMBIES = Climate(freeze=0.02, gremlins=0.3, favourites=("freeze_executor", "second_executor", "kill_executor"))
CUTS = Climate(gremlins=0.25, favourites=("cut_worker",))
LOSSES = Climate(crash=0.004, gremlins=0.3, favourites=("kill_worker", "cut_worker", "freeze_worker"))
FORGERS = Climate(gremlins=0.5, favourites=("forge_result",))
CRASHES = Climate(crash=0.02, fail_after=0.02)
AMNESIA = Climate(gremlins=0.4, favourites=("wipe_bus",), apart=True)
LOST_BETWEEN = Climate(crash=0.02, fail_before=0.04, gremlins=0.6, favourites=("wipe_bus", "kill_executor"), apart=True)
DEATHS = Climate(crash=0.01, gremlins=0.4, favourites=("kill_executor", "kill_api"))
SILENCE = Climate(freeze=0.004, slow=0.03, gremlins=0.4, favourites=("freeze_executor", "cut_executor"))
DOUBTS = Climate(fail_after=0.08, crash=0.005, duplicate=0.1)

#: Every mutant with the climate in which its fence is needed most.
MUTANTS: dict[Mutant, Climate] = {
    no_epoch: ZOMBIES,
    no_fence_at_all: ZOMBIES,
    token_ignored: FORGERS,
    attempt_ignored: Climate(duplicate=0.7, gremlins=0.2, favourites=("cut_worker", "kill_worker")),
    starts_not_deduplicated: REPEATS,
    offsets_first: CRASHES,
    unsent_forgotten: CRASHES,
    relayed_before_sent: CRASHES,
    retry_timers_ask_nothing: REPEATS,
    timers_never_too_early: REPEATS,
    timers_marked_first: CRASHES,
    one_slot_too_many: CALM,
    slots_kept_when_killed: CALM,
    claims_shared: CALM,
    any_admission_counts: REPEATS,
    losses_unnoticed: LOSSES,
    losses_always_retried: LOSSES,
    losses_of_any_attempt: Climate(duplicate=0.5, gremlins=0.3, favourites=("kill_worker", "cut_worker")),
    workers_do_not_fence: CUTS,
    withdrawn_stays_queued: ROUGH,
    ambiguous_commit_believed_failed: DOUBTS,
    epochs_not_raised: ZOMBIES,
    partitions_kept_when_lost: SILENCE,
    living_robbed_of_nothing: DEATHS,
    unsent_forgotten_by_the_next_owner: AMNESIA,
    acknowledged_before_accepted: AMNESIA,
    repeats_applied: REPEATS,
    accepted_rows_removed_when_read: LOST_BETWEEN,
    outgoing_not_accepted: LOST_BETWEEN,
    lost_log_not_noticed: AMNESIA,
}


def first_caught(mutant: Mutant, seeds: int) -> int | None:
    """Return the first seed in which the oracle notices the mutant; None: it survived all."""
    with mutant():
        for seed in range(seeds):
            world = World(seed, climate=MUTANTS[mutant])
            world.patience_s = 300.0  # what a mutant broke stands still for ever
            if world.run():
                return seed
    return None
