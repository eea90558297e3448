"""The independent oracle: was a promise broken? It knows the promises and the data, and asks no code under test.

    check(history) -> [Violation("I4", execution id, what is wrong), …]

    I1   every acknowledged start is there and has ended, in a state that its flow may end in
    I2   events are numbered without gap or overlap, and folding them gives the stored state
    I3   at most one result per attempt was accepted, and it is the one that this attempt wrote down
    I4   no attempt ran twice, none ran unasked, and every further attempt has a cause: a failure, or a logged fault
    I5   nothing runs after the execution has ended
    I6   a schedule fired exactly at its slots, once each
    I7   no flow ever had more executions at work than its concurrency limit
    I8   nothing is left over: processes, leases, timers, slots, unsent or unread commands, files
    I9   the api counts what the tables hold
    I10  what one client asked of one execution, one after the other, happened in this order
    I11  a webhook's 2xx is exactly one execution per idempotency key
    I12  the value of a secret is seen nowhere

(The folding of I2 is the product's `evolve`: what it means is the law, and it has its own property tests.)

A fault excuses only what it can have caused: the loss of one worker's attempts, when it hit that worker; anything, when it
hit what all share (database, bus, an api or executor in the middle of a hand-over).
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from levada.engine import outputs
from levada.engine.evolve import evolve
from levada.model.execution import Execution
from levada.store import encoding
from reliability.history import MICRO, History, Stored
from reliability.records import Fault, Run
from reliability.workload import FLOWS, SLOTS

TERMINAL = frozenset({"SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"})
CANCEL_S = 2.0
"""How long a kill may need to reach the worker that has just claimed an attempt."""

FREEZES = frozenset({"freeze", "network"})
"""Faults in which a task may go on while its worker is taken for dead."""


@dataclass(frozen=True)
class Violation:
    invariant: str
    execution_id: str
    text: str

    def __str__(self) -> str:
        return (
            f"{self.invariant} {self.execution_id}: {self.text}"
            if self.execution_id
            else f"{self.invariant}: {self.text}"
        )


Check = Callable[["_Oracle"], Iterator[Violation]]


def check(history: History, *, skip: frozenset[str] = frozenset()) -> list[Violation]:
    """Return everything that breaks a promise, in the order of the invariants."""
    oracle = _Oracle(history)
    return [violation for name, test in CHECKS.items() if name not in skip for violation in test(oracle)]


class _Oracle:
    """The history with the indexes that the checks share."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.executions = history.tables.executions
        self.events = {id_: stored.events for id_, stored in self.executions.items()}
        self.runs: dict[tuple[str, str], list[Run]] = defaultdict(list)
        for run in history.runs:
            self.runs[run.execution_id, run.task_run_id].append(run)
        self.attempts = {id_: _attempts(events) for id_, events in self.events.items()}
        self.killed = {ack.execution_id for ack in history.acks if ack.kind == "kill"}

    def excused(self, worker: str | None, since: float, until: float) -> bool:
        """Whether a logged fault explains that an attempt was lost between these times."""
        return any(self._touches(fault, worker, since, until) for fault in self.history.faults)

    def _touches(self, fault: Fault, worker: str | None, since: float, until: float) -> bool:
        if fault.kind == "poison":
            return False  # it excuses dead letters, and nothing else
        if fault.at > until or fault.until + self.history.patience_s < since:
            return False
        process = self.history.workers.get(worker or "")
        if process is None or not fault.target.startswith("worker"):
            return True
        return fault.target == process

    def frozen(self, worker: str | None, since: float, until: float) -> bool:
        """Whether the process of this worker stood still, or was cut off, in between."""
        return any(
            fault.kind in FREEZES and self._touches(fault, worker, since, until) for fault in self.history.faults
        )


@dataclass
class _Attempt:
    """What the history of an execution says about one attempt of one task run."""

    submitted: float
    started: float | None = None
    worker: str | None = None
    #: (event type, time, outputs) of whatever ended it.
    ends: tuple[tuple[str, float, dict[str, Any] | None], ...] = ()
    reason: str = ""


_ENDS = ("task_run.ended", "task_run.retrying", "task_run.resubmitted")


def _attempts(events: list[dict[str, Any]]) -> dict[tuple[str, int], _Attempt]:
    """Return the attempts that were handed to workers, by task run and number."""
    found: dict[tuple[str, int], _Attempt] = {}
    for event in events:
        key = (event.get("id", ""), event.get("attempt", 0))
        at = event["at"] * MICRO
        if event["type"] == "task_run.submitted":
            found[key] = _Attempt(at)
        elif key in found and event["type"] == "task_run.started":
            found[key].started, found[key].worker = at, event.get("worker")
        elif key in found and event["type"] in _ENDS:
            found[key].ends += ((event["type"], at, event.get("outputs")),)
            found[key].reason = event.get("reason", "")
    return found


# --- I1 to I3: executions and their history


def _acknowledged_end(oracle: _Oracle) -> Iterator[Violation]:
    for ack in oracle.history.acks:
        if ack.execution_id not in oracle.executions:
            yield Violation(
                "I1", ack.execution_id, f"the {ack.kind} of {ack.flow} was acknowledged, but it is not there"
            )
    for id_, stored in oracle.executions.items():
        if stored.state not in TERMINAL:
            yield Violation("I1", id_, f"the execution of {stored.flow} is still {stored.state}")
        elif stored.flow in FLOWS and not _may_end(oracle, stored):
            yield Violation("I1", id_, f"{stored.flow} ended {stored.state}: {_error(stored)}")


def _may_end(oracle: _Oracle, stored: Stored) -> bool:
    flow = FLOWS[stored.flow]
    if stored.state in flow.ends and stored.state != "FAILED":
        return True
    if stored.state == "KILLED":
        return stored.id in oracle.killed
    lost = "onWorkerLost: fail" in flow.source and stored.state == "FAILED"
    return lost and any(
        oracle.excused(one.worker, one.submitted, stored.ended or one.submitted)
        for one in oracle.attempts[stored.id].values()
    )


def _error(stored: Stored) -> str:
    return str(json.loads(stored.head).get("error"))


def _folds(oracle: _Oracle) -> Iterator[Violation]:
    for id_, stored in oracle.executions.items():
        yield from _contiguous(stored)
        try:
            folded = _fold(stored)
        except Exception as problem:  # noqa: BLE001  whatever it is, this history does not fold
            yield Violation("I2", id_, f"its history does not fold: {type(problem).__name__}: {problem}")
            continue
        state = encoding.execution_from(stored.head, stored.task_runs)
        if folded is None:
            yield Violation("I2", id_, "it has no history")
            continue
        for name in _differences(folded, state):
            yield Violation("I2", id_, f"`{name}` is stored otherwise than its history says")


def _contiguous(stored: Stored) -> Iterator[Violation]:
    expected = 1
    for seq, text in stored.turns:
        if seq != expected:
            yield Violation("I2", stored.id, f"event {expected - 1} is followed by {seq}")
        expected = seq + len(json.loads(text))
    if stored.seq != expected - 1:
        yield Violation("I2", stored.id, f"it is at event {stored.seq}, its history ends with {expected - 1}")


def _fold(stored: Stored) -> Execution | None:
    folded = None
    for _, text in stored.turns:
        for event in encoding.events_from(text):
            folded = evolve(folded, event)
    return folded


def _differences(folded: Execution, stored: Execution) -> list[str]:
    outputs.rebuild(folded)
    outputs.rebuild(stored)
    one, other = msgspec.to_builtins(folded), msgspec.to_builtins(stored)
    return [name for name in sorted(one.keys() | other.keys()) if name != "dirty" and one.get(name) != other.get(name)]


def _one_result(oracle: _Oracle) -> Iterator[Violation]:
    for id_, attempts in oracle.attempts.items():
        for (task_run_id, number), attempt in attempts.items():
            if len(attempt.ends) > 1:
                yield Violation(
                    "I3", id_, f"attempt {number} of {task_run_id} ended {len(attempt.ends)} times: {attempt.ends}"
                )
            yield from _own_result(oracle, id_, task_run_id, number, attempt)


def _own_result(oracle: _Oracle, id_: str, task_run_id: str, number: int, attempt: _Attempt) -> Iterator[Violation]:
    for _, _, outputs_ in attempt.ends:
        nonce = ((outputs_ or {}).get("vars") or {}).get("nonce")
        if nonce is None:
            continue
        own = [run for run in oracle.runs[id_, task_run_id] if run.attempt == number]
        if nonce not in [run.nonce for run in own]:
            yield Violation("I3", id_, f"attempt {number} of {task_run_id} has a result that it did not write: {nonce}")


# --- I4, I5: what really ran


def _runs_explained(oracle: _Oracle) -> Iterator[Violation]:
    for text in oracle.history.strange:
        yield Violation("I4", "", text)
    for (id_, task_run_id), runs in oracle.runs.items():
        yield from _attempts_once(oracle, id_, task_run_id, runs)
    for id_, attempts in oracle.attempts.items():
        for (task_run_id, number), attempt in attempts.items():
            yield from _end_explained(oracle, id_, task_run_id, number, attempt)


def _attempts_once(oracle: _Oracle, id_: str, task_run_id: str, runs: list[Run]) -> Iterator[Violation]:
    known = oracle.attempts.get(id_)
    if known is None:
        yield Violation("I4", id_, f"{runs[0].task} ran, but there is no such execution")
        return
    for number, times in Counter(run.attempt for run in runs).items():
        if times > 1:
            yield Violation("I4", id_, f"attempt {number} of {runs[0].task} {task_run_id} ran {times} times")
        if (task_run_id, number) not in known:
            yield Violation(
                "I4", id_, f"attempt {number} of {runs[0].task} {task_run_id} ran, but nobody had asked for it"
            )
    ordered = sorted(runs, key=lambda run: run.attempt)
    for earlier, later in itertools.pairwise(ordered):
        worker = known[task_run_id, earlier.attempt].worker if (task_run_id, earlier.attempt) in known else None
        overlap = earlier.ended is not None and earlier.ended > later.began
        if overlap and not oracle.frozen(worker, earlier.began, later.began):
            yield Violation(
                "I4", id_, f"attempt {later.attempt} of {later.task} began while attempt {earlier.attempt} still ran"
            )


def _end_explained(oracle: _Oracle, id_: str, task_run_id: str, number: int, attempt: _Attempt) -> Iterator[Violation]:
    own = [run for run in oracle.runs.get((id_, task_run_id), []) if run.attempt == number]
    for kind, at, _ in attempt.ends:
        if kind == "task_run.resubmitted" and not oracle.excused(attempt.worker, attempt.submitted, at):
            yield Violation(
                "I4", id_, f"attempt {number} of {task_run_id} was given up without a fault: {attempt.reason}"
            )
        if kind == "task_run.retrying" and not any(run.failed for run in own):
            yield Violation("I4", id_, f"attempt {number} of {task_run_id} was retried, but it had not failed")


def _nothing_after_the_end(oracle: _Oracle) -> Iterator[Violation]:
    for run in oracle.history.runs:
        stored = oracle.executions.get(run.execution_id)
        if stored is None or stored.ended is None:
            continue
        late_s = run.began - stored.ended
        attempt = oracle.attempts[stored.id].get((run.task_run_id, run.attempt))
        worker = attempt.worker if attempt is not None else None
        allowed_s = CANCEL_S if stored.state == "KILLED" else 0.0
        if late_s > allowed_s and not oracle.frozen(
            worker, attempt.submitted if attempt else stored.created, run.began
        ):
            yield Violation(
                "I5", stored.id, f"{run.task} began {late_s:.3f} s after the execution had ended {stored.state}"
            )


# --- I6, I7: schedules and limits


def _slots_of_schedules(oracle: _Oracle) -> Iterator[Violation]:
    for ticks in oracle.history.ticks:
        fired = Counter(_slot(stored) for stored in oracle.executions.values() if stored.flow == ticks.flow)
        for slot, times in fired.items():
            if slot is None:
                yield Violation("I6", "", f"an execution of {ticks.flow} does not say for which slot it is")
            elif times > 1:
                yield Violation("I6", "", f"{ticks.flow} fired {times} times for the slot {slot}")
            elif slot % ticks.every_s:
                yield Violation("I6", "", f"{ticks.flow} fired for {slot}, which is no slot")
        first = ticks.since + -ticks.since % ticks.every_s
        for slot in range(first, ticks.until, ticks.every_s):
            if slot not in fired:
                yield Violation("I6", "", f"{ticks.flow} did not fire for the slot {slot}")


def _slot(stored: Stored) -> int | None:
    """Return the slot of a scheduled execution, as epoch seconds."""
    scheduled = json.loads(stored.head).get("scheduled")
    return None if scheduled is None else int(scheduled * MICRO)


def _limits(oracle: _Oracle) -> Iterator[Violation]:
    """At no instant of the ledger are more executions of `limited` at work than may be."""
    changes: list[tuple[float, int, str]] = []
    for run in oracle.history.runs:
        if run.flow == "limited":
            changes += [(run.began, 1, run.execution_id), (_over(oracle, run), -1, run.execution_id)]
    working: Counter[str] = Counter()
    for at, change, id_ in sorted(changes, key=lambda one: (one[0], one[1])):
        working[id_] += change
        busy = sorted(id_ for id_, count in working.items() if count > 0)
        if change > 0 and len(busy) > SLOTS:
            yield Violation(
                "I7", id_, f"{len(busy)} executions of `limited` are at work at {at:.3f}, {SLOTS} may: {busy}"
            )


def _over(oracle: _Oracle, run: Run) -> float:
    """Return when a run was over: what it wrote; where it could not, when its attempt was given up or its worker hit."""
    attempt = oracle.attempts.get(run.execution_id, {}).get((run.task_run_id, run.attempt))
    given_up = min((at for _, at, _ in attempt.ends), default=None) if attempt is not None else None
    if run.ended is not None and (given_up is None or run.ended <= given_up):
        return run.ended
    worker = attempt.worker if attempt is not None else None
    if run.ended is not None and given_up is not None and not oracle.frozen(worker, run.began, run.ended):
        return run.ended
    return max(given_up if given_up is not None else run.began, run.began)


# --- I8 to I12: what is left, what is shown


def _leftovers(oracle: _Oracle) -> Iterator[Violation]:
    tables = oracle.history.tables
    for name in ("leases", "timers", "slots", "unsent", "unread", "ingress"):
        for text in getattr(tables, name):
            yield Violation("I8", "", f"{name} left: {text}")
    for topic, key, reason in tables.dead:
        if not any(fault.kind == "poison" for fault in oracle.history.faults):
            yield Violation("I8", key, f"a dead letter of {topic}: {reason}")
    for text in oracle.history.outside.leftovers:
        yield Violation("I8", "", text)


def _counts(oracle: _Oracle) -> Iterator[Violation]:
    for name, (shown, held) in oracle.history.outside.counts.items():
        if shown != held:
            yield Violation("I9", "", f"the api counts {shown} {name}, the tables hold {held}")


def _order(oracle: _Oracle) -> Iterator[Violation]:
    """A client sets the label `n` to 1, 2, 3 …, each after the one before was acknowledged."""
    acked: dict[str, list[int]] = defaultdict(list)
    for ack in oracle.history.acks:
        if ack.kind == "label":
            acked[ack.execution_id].append(ack.number)
    for id_, numbers in acked.items():
        seen = [number for event in oracle.events.get(id_, []) if (number := _label(event)) is not None]
        seen = [number for before, number in zip([None, *seen], seen, strict=False) if number != before]
        if seen != sorted(set(seen)):
            yield Violation("I10", id_, f"labels set one after the other appear in the order {seen}")
        missing = sorted(set(numbers) - set(seen))
        if missing:
            yield Violation("I10", id_, f"the labels {missing} were acknowledged, but never set")


def _label(event: dict[str, Any]) -> int | None:
    if event["type"] != "execution.labels_set":
        return None
    found = dict(event["labels"]).get("n")
    return None if found is None else int(found)


def _webhooks(oracle: _Oracle) -> Iterator[Violation]:
    made = Counter(_key(stored) for stored in oracle.executions.values() if stored.flow == "hooked")
    for key, times in made.items():
        if key is not None and times > 1:
            yield Violation("I11", "", f"the webhook's key {key} made {times} executions")
    for ack in oracle.history.acks:
        if ack.kind == "webhook" and not made[ack.key]:
            yield Violation(
                "I11", ack.execution_id, f"the webhook with the key {ack.key} was acknowledged and made nothing"
            )


def _key(stored: Stored) -> str | None:
    variables = (json.loads(stored.head).get("trigger") or {}).get("variables") or {}
    body = variables.get("body")
    return body.get("key") if isinstance(body, dict) else None


def _secrets(oracle: _Oracle) -> Iterator[Violation]:
    for place in oracle.history.outside.leaks:
        yield Violation("I12", "", f"the value of a secret is in {place}")


CHECKS: dict[str, Check] = {
    "I1": _acknowledged_end,
    "I2": _folds,
    "I3": _one_result,
    "I4": _runs_explained,
    "I5": _nothing_after_the_end,
    "I6": _slots_of_schedules,
    "I7": _limits,
    "I8": _leftovers,
    "I9": _counts,
    "I10": _order,
    "I11": _webhooks,
    "I12": _secrets,
}
