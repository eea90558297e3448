"""What must hold, judged only from acknowledged starts, the ledger, and the tables.

`Watch` looks at every commit and claim in the moment it happens (concurrency limits, claims of ended executions);
`judge` looks at the end. Nothing here asks the code under test what it thinks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from levada import engine
from levada.model import commands as cmd
from levada.model import events as ev
from levada.model.execution import Execution
from levada.model.states import State
from levada.store import encoding
from levada.store.port import Commit
from simulation.ledger import Entry
from simulation.loop import Process

if TYPE_CHECKING:
    from simulation.world import World

_WAITING = frozenset({State.CREATED, State.QUEUED})
#: How long a worker that was frozen may take to notice that its leases are gone.
AWAKE_S = 3.0
_ENDS_ATTEMPT = (ev.TaskRunEnded, ev.TaskRunRetrying, ev.TaskRunResubmitted)


class Watch:
    def __init__(self, world: World) -> None:
        self._world = world
        self._limits = {f"main/sim/{flow.id}": flow.limit for flow in world.planned if flow.limit is not None}
        self._running: dict[str, set[str]] = {key: set() for key in self._limits}
        self.lost: set[tuple[str, int]] = set()
        self.restarts: Counter[str] = Counter()

    def committed(self, commit: Commit) -> None:
        """No flow runs more executions at once than it may."""
        for write in commit.writes:
            x = write.execution
            running = self._running.get(x.flow_key)
            if running is None:
                continue
            if x.state.is_terminal or x.state in _WAITING:
                running.discard(x.id)
            else:
                running.add(x.id)
        for key, running in self._running.items():
            limit = self._limits[key]
            assert limit is not None
            if len(running) > limit:
                self._world.broken(
                    f"{len(running)} executions of {key} run at once, but its limit is {limit}: {sorted(running)}"
                )

    def asked_for(self, bodies: Sequence[bytes]) -> None:
        """Remember which attempts were lost, or given back: only they may be followed without a result."""
        for body in bodies:
            command = cmd.decode(body)
            match command:
                case cmd.WorkerLost() | cmd.TaskFinished(released=True):
                    self.lost.add((command.task_run_id, command.attempt))
                case _:
                    continue

    def asked(self, wish: cmd.Command) -> None:
        """Remember what people asked for, each time once."""
        if isinstance(wish, cmd.RestartExecution):
            self.restarts[wish.execution_id] += 1

    def claimed(self, process: Process, commands: Sequence[cmd.Command]) -> None:
        """The queue hands out nothing of an execution that has ended, but for its after tasks."""
        for command in commands:
            if not isinstance(command, cmd.TaskStarted):
                continue
            head = encoding.head_from(self._world.tables.heads[command.execution_id])
            if head.is_terminal and head.progress.stage != "after":
                self._world.broken(f"{process.name} was given an attempt of {head.id}, which is {head.state}")


def at_rest(world: World) -> bool:
    """Whether nothing is left to do: all ended, no lease, no timer, nothing unread or unsent."""
    tables = world.tables
    if any(id_ not in tables.heads for id_ in world.acknowledged):
        return False
    if any(not encoding.head_from(head).is_terminal for head in tables.heads.values()):
        return False
    if tables.leases or tables.timers or tables.ingress or any(world.unread().values()):
        return False
    return all(owner.relay_off == owner.out_next for owner in tables.owners.values())


async def judge(world: World) -> None:
    """Record every violation."""
    _acknowledged(world)
    _leaks(world)
    runs: dict[str, list[Entry]] = {}
    for entry in world.ledger.entries:
        runs.setdefault(entry.task_run_id, []).append(entry)
    for id_ in sorted(world.tables.heads):
        events = _contiguous(world, id_)
        await _folds(world, id_, events)
        _History(world, id_, events, runs).check()
    _ledger(world, runs)
    _restarts(world)


def _restarts(world: World) -> None:
    """Nobody is restarted more often than it was asked for, by people or by a parent."""
    asked = Counter(world.watch.restarts)
    for entries in world.tables.out.values():
        asked.update(entry.command.execution_id for entry in entries if isinstance(entry.command, cmd.RestartExecution))
    for id_, text in sorted(world.tables.heads.items()):
        restarts = encoding.head_from(text).restarts
        if restarts > asked[id_]:
            world.broken(f"{id_} was restarted {restarts} times, but that was asked {asked[id_]} times")


def _acknowledged(world: World) -> None:
    for id_ in world.acknowledged:
        if id_ not in world.tables.heads:
            world.broken(f"the start of {id_} was acknowledged, but there is no such execution")
    for id_, text in sorted(world.tables.heads.items()):
        head = encoding.head_from(text)
        if not head.is_terminal:
            world.broken(f"execution {id_} of {head.flow_id} is still {head.state}")


def _leaks(world: World) -> None:
    tables = world.tables
    for key, slots in tables.slots.items():
        for id_, slot in slots.items():
            world.broken(f"{id_} still {'holds a slot' if slot.holds else 'waits for a slot'} of {key}")
    for key_, lease in tables.leases.items():
        world.broken(f"the lease of {key_} is left: {lease.state}, attempt {lease.attempt}")
    for timer in tables.timers:
        world.broken(f"the timer {timer} is left")
    for dead in tables.dead:
        world.broken(f"dead letter {dead.partition}/{dead.offset}: {dead.reason}: {dead.body[:200]!r}")
        world.trace("oracle", "detail", dead.detail or "")
    for part, owner in sorted(tables.owners.items()):
        if owner.relay_off != owner.out_next:
            world.broken(f"partition {part} has {owner.out_next - owner.relay_off} commands that were never sent")
    for part, unread in world.unread().items():
        if unread:
            world.broken(f"{unread} records of partition {part} are not applied")
    for accepted in tables.ingress.values():
        world.broken(f"{accepted.id} was accepted and never applied: {accepted.body[:200]!r}")


def _contiguous(world: World, id_: str) -> list[ev.Event]:
    """Return the events of an execution; they are numbered without gaps or overlaps."""
    events: list[ev.Event] = []
    for first, text in world.tables.events.get(id_, []):
        if first != len(events) + 1:
            world.broken(f"the events of {id_} go on with {first} after {len(events)}")
        events += encoding.events_from(text)
    if world.tables.seqs.get(id_) != len(events):
        world.broken(f"{id_} is at event {world.tables.seqs.get(id_)}, but has {len(events)}")
    return events


async def _folds(world: World, id_: str, events: list[ev.Event]) -> None:
    try:
        folded: Execution = engine.fold(events)
    except Exception as problem:  # noqa: BLE001  whatever it is, the log does not fold
        world.broken(f"the events of {id_} do not fold: {type(problem).__name__}: {problem}")
        return
    folded.dirty.clear()
    stored = (await world.store.load([id_]))[id_]
    stored.dirty.clear()
    if folded != stored:
        world.broken(f"folding the events of {id_} does not give its stored state")


class _History:
    """The log of one execution against the ledger."""

    def __init__(self, world: World, id_: str, events: list[ev.Event], runs: dict[str, list[Entry]]) -> None:
        self._world = world
        self._id = id_
        self._events = events
        self._runs = runs
        self._ended: Counter[tuple[str, int]] = Counter()
        self._terminal = False
        self._after = False
        self._due: dict[str, int] = {}
        self._names: dict[str, str] = {}

    def _broken(self, text: str) -> None:
        self._world.broken(f"{self._id}: {text}")

    def check(self) -> None:
        for event in self._events:
            self._finality(event)
            self._waits(event)
            if isinstance(event, _ENDS_ATTEMPT):
                self._end(event)

    def _finality(self, event: ev.Event) -> None:
        """Nothing starts after the end, but for the after tasks and what people reopen."""
        match event:
            case ev.ExecutionStateChanged():
                if self._terminal and not self._after and not event.state.is_terminal:
                    self._broken(f"it went to {event.state} after its end")
                self._terminal = event.state.is_terminal
            case ev.ExecutionRewound():
                self._terminal = self._after = False
            case ev.StageEntered(stage="after"):
                self._after = True
            case ev.TaskRunResubmitted() if self._world.storm.calm:
                self._broken(f"attempt {event.attempt} of {event.id} was lost although nothing went wrong")
            case ev.TaskRunResubmitted():
                if (event.id, event.attempt) not in self._world.watch.lost:
                    self._broken(f"attempt {event.attempt} of {event.id} was given up, but nobody had lost it")
            case ev.TaskRunCreated() | ev.TaskRunSubmitted() | ev.TaskRunStarted():
                if self._terminal and not self._after:
                    self._broken(f"{type(event).__name__} of {event.id} after its end")
            case _:
                return

    def _waits(self, event: ev.Event) -> None:
        """A retry or the next pass of a loop does not begin before its time."""
        match event:
            case ev.TaskRunRetrying() | ev.TaskRunStateChanged():
                self._due[event.id] = event.due or 0
            case ev.ExecutionRewound():
                self._due.clear()
            case ev.TaskRunSubmitted() | ev.IterationRestarted():
                due = self._due.pop(event.id, 0)
                if event.at < due:
                    what = type(event).__name__
                    self._broken(f"{what} of {event.id} came {(due - event.at) / 1e6:.3f} s too early")
            case _:
                return

    def _end(self, event: Any) -> None:
        """One result per attempt, and it is the one that this attempt wrote down."""
        if event.id not in self._runs:
            return
        if isinstance(event, ev.TaskRunEnded) and event.state is State.KILLED and not event.outputs:
            return  # the end of the task run, which may have waited for its next attempt
        key = (event.id, event.attempt)
        self._ended[key] += 1
        if self._ended[key] > 1:
            self._broken(f"attempt {event.attempt} of {event.id} ended {self._ended[key]} times")
        outputs = getattr(event, "outputs", None)
        if not outputs:
            return
        wrote = [entry for entry in self._runs[event.id] if entry.attempt == event.attempt]
        if outputs.get("attempt") != event.attempt or outputs.get("nonce") not in [entry.nonce for entry in wrote]:
            self._broken(f"the result of attempt {event.attempt} of {event.id} is not its own: {outputs}")


def _ledger(world: World, runs: dict[str, list[Entry]]) -> None:
    """Attempts have numbers of their own, do not overlap, and where the flow forbids it there is only one."""
    once = {task for flow in world.planned for task in flow.once}
    reopened = _reopenings(world)
    for id_, entries in runs.items():
        numbers = [entry.attempt for entry in entries]
        if len(set(numbers)) != len(numbers):
            world.broken(f"{entries[0].task_id} {id_} of {entries[0].execution_id} ran attempts {numbers}")
        if not reopened[id_]:  # a killed attempt may still be stopping when people restart its task run
            for earlier, later in pairwise(entries):
                _apart(world, earlier, later)
        if (world.flow_of(entries[0].execution_id), entries[0].task_id) in once and len(entries) > 1 + reopened[id_]:
            world.broken(f"{entries[0].task_id} {id_} must not run again when its worker is lost, but ran {numbers}")


def _apart(world: World, earlier: Entry, later: Entry) -> None:
    """A worker that can not renew a lease kills the task before anybody else may start it; a frozen one when it wakes."""
    if earlier.deaf or earlier.ended is None:
        return
    thaws = [end for begin, end in earlier.process.freezes if begin < earlier.ended and end > earlier.began]
    if earlier.ended <= max([later.began, *(end + AWAKE_S for end in thaws)]):
        return
    world.broken(
        f"attempt {later.attempt} of {earlier.task_id} {earlier.task_run_id} began {earlier.ended - later.began:.3f} s "
        f"before attempt {earlier.attempt} had ended on {earlier.process.name}"
    )


def _reopenings(world: World) -> Counter[str]:
    """How often people had each task run run again."""
    found: Counter[str] = Counter()
    for turns in world.tables.events.values():
        for _, text in turns:
            for event in encoding.events_from(text):
                if isinstance(event, ev.ExecutionRewound):
                    found.update(id_ for id_, state in event.states if state is State.RESTARTED)
    return found
