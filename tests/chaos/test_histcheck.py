"""The oracle is tested too: it finds nothing in a history that is right, and every promise that was broken in one that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from driver import Done, Driver, flow, task
from reliability import records
from reliability.histcheck import CHECKS, check
from reliability.history import History, Stored, Ticks
from reliability.records import Ack, Fault, Run, read_ledger

from levada.model.execution import Execution, Origin
from levada.model.jobs import Job
from levada.store import encoding

SHELL = "scripts.shell.Commands"
AT = 1_800_000_000


class Scene:
    """A small history that is right: five executions of the engine, as the tables and the ledger would have them."""

    def __init__(self) -> None:
        self.history = History(workers={"w": "worker-1"}, patience_s=5.0)
        self._nonces = 0
        self._driver = Driver(
            flow(task("work", SHELL), id="mixed"),
            flow(task("work", SHELL), id="slow"),
            flow(task("work", SHELL), id="limited"),
            flow(task("say", "core.log.Log", message="hello"), id="hooked"),
            flow(task("say", "core.log.Log", message="hello"), id="ticking"),
            work=self._work,
        )
        self.mixed = self._start("mixed")
        self.slow = self._start("slow", lose=True)
        self.limited = self._start("limited")
        body = {"body": {"key": "k1"}}
        self.hooked = self._start("hooked", trigger=Origin(id="hook", type="core.trigger.Webhook", variables=body))
        self.ticking = self._start("ticking", scheduled=AT * 1_000_000)
        self.history.ticks.append(Ticks("ticking", 1, AT, AT + 1))
        self.history.faults.append(Fault("kill", "worker-1", 0.0, 4e9))
        self.history.acks.append(Ack("webhook", 0.0, self.hooked, "hooked", key="k1"))
        self.history.outside.counts["executions"] = (5, 5)

    def _start(self, name: str, *, lose: bool = False, **more: object) -> str:
        self._lose = lose
        execution = self._driver.start(name, **more)  # type: ignore[arg-type]
        self.history.tables.executions[execution.id] = self._stored(execution)
        self.history.acks.append(Ack("start", 0.0, execution.id, name))
        return execution.id

    def _work(self, job: Job) -> Done:
        self._nonces += 1
        now = self._driver.now / 1e6
        flow_id = self._driver.executions[job.execution_id].flow_id
        run = Run(job.execution_id, job.task_run_id, job.attempt, f"{flow_id}/work", f"nonce{self._nonces}", now)
        self.history.runs.append(run)
        if self._lose and job.attempt == 1:
            return Done(lost=True)
        run.ended = now
        return Done(outputs={"vars": {"nonce": run.nonce}})

    def _stored(self, execution: Execution) -> Stored:
        return Stored(
            execution.id,
            execution.namespace,
            execution.flow_id,
            execution.state.value,
            execution.seq,
            execution.created / 1e6,
            (encoding.ended(execution) or 0) / 1e6,
            encoding.head_text(execution),
            [(1, encoding.events_text(self._driver.events[execution.id]))],
            [encoding.task_run_text(run) for run in execution.task_runs.values()],
        )

    def row(self, id_: str) -> Stored:
        return self.history.tables.executions[id_]

    def ran(self, id_: str) -> Run:
        return next(run for run in self.history.runs if run.execution_id == id_)

    def rewrite(self, id_: str, change: Callable[[list[dict[str, object]]], None]) -> None:
        """Change the events of an execution."""
        events = self.row(id_).events
        change(events)
        self.row(id_).turns = [(1, json.dumps(events))]


def _copy(scene: Scene, id_: str, other: str) -> None:
    """The same execution once more, under another id."""
    scene.history.tables.executions[other] = replace(scene.row(id_), id=other)


def _again(scene: Scene) -> None:
    run = scene.ran(scene.mixed)
    scene.history.runs.append(replace(run, nonce="again"))


def _end_twice(scene: Scene) -> None:
    scene.rewrite(scene.mixed, lambda events: events.append(next(e for e in events if e["type"] == "task_run.ended")))


def _foreign_result(scene: Scene) -> None:
    scene.ran(scene.mixed).nonce = "other"


def _retried(scene: Scene) -> None:
    """An attempt is tried again although it had not failed."""

    def change(events: list[dict[str, object]]) -> None:
        end = next(e for e in events if e["type"] == "task_run.ended")
        end["type"], end["due"] = "task_run.retrying", end["at"]

    scene.rewrite(scene.mixed, change)


def _crowd(scene: Scene) -> None:
    for number in range(4):
        run = scene.ran(scene.limited)
        scene.history.runs.append(replace(run, execution_id=f"x{number}", nonce=f"n{number}", ended=run.began + 1))


def _labels(*numbers: int) -> Callable[[Scene], None]:
    def change(scene: Scene) -> None:
        def add(events: list[dict[str, object]]) -> None:
            events.extend({"type": "execution.labels_set", "at": 1, "labels": [["n", str(n)]]} for n in numbers)

        scene.rewrite(scene.mixed, add)
        scene.history.acks += [Ack("label", 0.0, scene.mixed, number=n) for n in (1, 2, 3)]

    return change


def _cut(scene: Scene) -> None:
    scene.row(scene.mixed).turns[0] = (2, scene.row(scene.mixed).turns[0][1])


def _late_row(scene: Scene) -> None:
    row = scene.row(scene.mixed)
    row.head = row.head.replace('"SUCCESS"', '"WARNING"')


DOCTORED: dict[str, tuple[str, Callable[[Scene], object]]] = {
    "an acknowledged start is lost": ("I1", lambda s: s.history.tables.executions.pop(s.hooked)),
    "an execution does not end": ("I1", lambda s: setattr(s.row(s.mixed), "state", "RUNNING")),
    "a flow ends otherwise than it may": ("I1", lambda s: setattr(s.row(s.mixed), "state", "FAILED")),
    "somebody is killed whom nobody killed": ("I1", lambda s: setattr(s.row(s.mixed), "state", "KILLED")),
    "an event is missing": ("I2", _cut),
    "a row is not what its history says": ("I2", _late_row),
    "a row is behind its history": ("I2", lambda s: setattr(s.row(s.mixed), "seq", 1)),
    "a task run is gone": ("I2", lambda s: s.row(s.mixed).task_runs.clear()),
    "two results are accepted": ("I3", _end_twice),
    "the result of another attempt is accepted": ("I3", _foreign_result),
    "an attempt runs twice": ("I4", _again),
    "an attempt runs that nobody asked for": ("I4", lambda s: setattr(s.ran(s.mixed), "attempt", 7)),
    "something runs without an execution": ("I4", lambda s: setattr(s.ran(s.mixed), "execution_id", "nobody")),
    "an attempt is given up without a fault": ("I4", lambda s: s.history.faults.clear()),
    "a fault of another worker is no excuse": ("I4", lambda s: setattr(s.history.faults[0], "target", "worker-2")),
    "a fault long before is no excuse": ("I4", lambda s: setattr(s.history.faults[0], "until", 1.0)),
    "an attempt is retried that had not failed": ("I4", _retried),
    "the ledger holds nonsense": ("I4", lambda s: s.history.strange.append("nonsense")),
    "an attempt goes on beside the next": ("I4", lambda s: setattr(s.ran(s.slow), "ended", 4e9)),
    "a task begins after the end": ("I5", lambda s: setattr(s.ran(s.mixed), "began", 4e9)),
    "a slot is missed": ("I6", lambda s: setattr(s.history.ticks[0], "until", AT + 2)),
    "a slot is fired twice": ("I6", lambda s: _copy(s, s.ticking, "twin")),
    "something is fired between the slots": ("I6", lambda s: setattr(s.history.ticks[0], "every_s", 7)),
    "a limit is exceeded": ("I7", _crowd),
    "a lease is left": ("I8", lambda s: s.history.tables.leases.append("x is claimed")),
    "a timer is left": ("I8", lambda s: s.history.tables.timers.append("x sleep")),
    "a slot is left": ("I8", lambda s: s.history.tables.slots.append("x holds")),
    "a committed command was never sent": ("I8", lambda s: s.history.tables.unsent.append("3: 1")),
    "a command was never read": ("I8", lambda s: s.history.tables.unread.append("3: 1")),
    "an accepted command was never applied": ("I8", lambda s: s.history.tables.ingress.append("x")),
    "a dead letter without poison": ("I8", lambda s: s.history.tables.dead.append(("commands", "k", "why"))),
    "a process is left": ("I8", lambda s: s.history.outside.leftovers.append("process 17")),
    "the api miscounts": ("I9", lambda s: s.history.outside.counts.update(executions=(4, 5))),
    "labels in the wrong order": ("I10", _labels(1, 3, 2)),
    "an acknowledged label is not there": ("I10", _labels(1, 3)),
    "a webhook made two executions": ("I11", lambda s: _copy(s, s.hooked, "twin")),
    "a webhook made none": ("I11", lambda s: s.history.acks.append(Ack("webhook", 0.0, s.hooked, key="k2"))),
    "a secret leaks": ("I12", lambda s: s.history.outside.leaks.append("server.log")),
}


def test_a_history_that_is_right_breaks_no_promise() -> None:
    scene = Scene()
    assert check(scene.history) == []
    assert len(scene.history.runs) == 4
    assert len({run.task_run_id for run in scene.history.runs}) == 3


@pytest.mark.parametrize("name", DOCTORED)
def test_a_broken_promise_is_found(name: str) -> None:
    invariant, break_it = DOCTORED[name]
    scene = Scene()
    break_it(scene)
    assert invariant in {violation.invariant for violation in check(scene.history)}


def test_every_invariant_was_broken_once() -> None:
    assert {invariant for invariant, _ in DOCTORED.values()} == set(CHECKS)


def test_labels_in_their_order_break_no_promise() -> None:
    scene = Scene()
    _labels(1, 2, 2, 3)(scene)
    assert "I10" not in {violation.invariant for violation in check(scene.history)}


def test_a_frozen_worker_excuses_that_its_task_went_on() -> None:
    scene = Scene()
    scene.ran(scene.slow).ended = 4e9
    scene.history.faults.append(Fault("freeze", "worker-1", 0.0, 4e9))
    assert check(scene.history) == []


def test_the_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.write_text(
        "began 1000000000 a x r 0 slow/work\nbegan 2000000000 b x r 1 slow/work\nfailed 3000000000 b x r 1 slow/work\n"
        "ended 3000000000 c x r 1 slow/work\nhello\n"
    )
    runs, strange = read_ledger(ledger)
    assert [(run.attempt, run.began, run.ended, run.failed) for run in runs] == [(1, 1, None, False), (2, 2, 3, True)]
    assert [("under way" in text, "hello" in text) for text in strange] == [(True, False), (False, True)]
    assert read_ledger(tmp_path / "nothing") == ([], [])
    assert records.LEDGER_BEGIN.count("LEDGER") == 1
