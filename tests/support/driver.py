"""Plays the shell around the engine, in memory and in no time: for unit and property tests of the state machine.

`Driver(flows)` takes commands, decides them, and carries the effects out: jobs are answered by `work` (a function from job
to result), timers fire when nothing else is left to do, commands to other executions are delivered. Every decision is
checked against the law: folding the events of the log gives the state.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from levada import engine
from levada.model import commands as cmd
from levada.model import effects as fx
from levada.model import ids
from levada.model.events import Event
from levada.model.execution import Execution, TaskRun
from levada.model.flow import Flow, Task
from levada.model.jobs import Job, LogEntry
from levada.model.states import State

START = 1_700_000_000_000_000


class Done(msgspec.Struct):
    """What a worker answers: an end state, outputs, or the loss of the worker."""

    state: State = State.SUCCESS
    outputs: dict[str, Any] | None = None
    error: str | None = None
    lost: bool = False
    released: bool = False
    values: dict[str, Any] | None = None
    children: list[cmd.ChildTask] = []


def succeed(job: Job) -> Done:
    return Done(outputs={"ran": job.task.id})


def task(id: str, type: str, **more: Any) -> Task:
    """A task; keywords that are fields of Task are those, everything else are properties."""
    fields = {name: more.pop(name) for name in list(more) if name in Task.__struct_fields__}
    branches = {}
    for name in ("tasks", "errors", "finally_", "then", "else_", "defaults"):
        if name in more:
            branches[name.rstrip("_")] = tuple(more.pop(name))
    for key, children in more.pop("cases", {}).items():
        branches[f"cases.{key}"] = tuple(children)
    return Task(id=id, type=type, properties=more, branches=branches, **fields)


def flow(*tasks: Task, id: str = "f", namespace: str = "n", **more: Any) -> Flow:
    return Flow(id=id, namespace=namespace, tasks=tasks, **more)


class Driver:
    def __init__(self, *flows: Flow, work: Callable[[Job], Done] = succeed, **environment: Any) -> None:
        self.flows = {(f.namespace, f.id): f for f in flows}
        self.work = work
        self.env = engine.Environment(**environment)
        self.now = START
        self.executions: dict[str, Execution] = {}
        self.events: dict[str, list[Event]] = {}
        self.logs: list[LogEntry] = []
        self.jobs: list[Job] = []
        self.waiting_jobs: deque[Job] = deque()
        self.hold_jobs = False
        self.timers: list[tuple[int, int, str, fx.ArmTimer]] = []
        self.queue: deque[cmd.Command] = deque()
        self.slots: dict[str, list[str]] = {}
        self.waiting: dict[str, list[str]] = {}
        self.queued: dict[str, int] = {}
        self.decisions = 0
        self._count = 0

    # -- use -------------------------------------------------------------------------------------------------------
    def start(self, flow_id: str = "f", inputs: dict[str, Any] | None = None, **more: Any) -> Execution:
        """Start a flow and play until nothing happens any more."""
        self._count += 1
        id_ = ids.derive("test", self._count)
        namespace = next(ns for ns, name in self.flows if name == flow_id)
        self.send(
            cmd.StartExecution(execution_id=id_, namespace=namespace, flow_id=flow_id, inputs=inputs or {}, **more)
        )
        return self.executions[id_]

    def send(self, command: cmd.Command, *, timers: bool = True) -> None:
        self.queue.append(command)
        self.play(timers=timers)

    def play(self, *, timers: bool = True) -> None:
        while True:
            if self.queue:
                self._decide(self.queue.popleft())
            elif self.waiting_jobs and not self.hold_jobs:
                self._answer(self.waiting_jobs.popleft())
            elif self.timers and timers:
                due, _, execution_id, timer = heapq.heappop(self.timers)
                self.now = max(self.now, due)
                self.queue.append(
                    cmd.TimerFired(
                        execution_id=execution_id, seq=timer.seq, kind=timer.kind, task_run_id=timer.task_run_id
                    )
                )
            else:
                return

    def runs(self, execution: Execution) -> list[TaskRun]:
        return list(self.executions[execution.id].task_runs.values())

    def states(self, execution: Execution) -> dict[str, str]:
        return {run.task_id: run.state.value for run in self.runs(execution)}

    def order(self, execution: Execution) -> list[str]:
        return [run.task_id for run in self.runs(execution)]

    def messages(self) -> list[str]:
        return [entry.message for entry in self.logs]

    # -- the shell -------------------------------------------------------------------------------------------------
    def _decide(self, command: cmd.Command) -> None:
        self.decisions += 1
        execution = self.executions.get(command.execution_id)
        flow_ = self._flow_of(command, execution)
        self.env.slots = {key: len(held) for key, held in self.slots.items()}
        source = None
        if isinstance(command, cmd.StartExecution) and command.replay_of is not None:
            source = self.executions[command.replay_of]
        decision = engine.decide(execution, flow_, command, self.now, self.env, source)
        self.now += 1
        if decision.execution is not None:
            self.executions[command.execution_id] = decision.execution
            self.events.setdefault(command.execution_id, []).extend(decision.events)
            decision.execution.dirty.clear()
        for effect in decision.effects:
            self._perform(command.execution_id, effect)

    def _flow_of(self, command: cmd.Command, execution: Execution | None) -> Flow | None:
        if execution is not None:
            return self.flows.get((execution.namespace, execution.flow_id))
        if isinstance(command, cmd.StartExecution):
            return self.flows.get((command.namespace, command.flow_id))
        return None

    def _perform(self, execution_id: str, effect: fx.Effect) -> None:
        match effect:
            case fx.SubmitJob():
                self.jobs.append(effect.job)
                self.waiting_jobs.append(effect.job)
            case fx.CancelJob():
                self.waiting_jobs = deque(j for j in self.waiting_jobs if j.task_run_id != effect.task_run_id)
            case fx.SendCommand():
                self.queue.append(effect.command)
            case fx.ArmTimer():
                heapq.heappush(self.timers, (effect.due, effect.seq, execution_id, effect))
            case fx.WriteLogs():
                self.logs.extend(effect.entries)
            case fx.ClaimSlot():
                self.slots.setdefault(effect.flow_key, []).append(execution_id)
            case fx.JoinQueue():
                self.waiting.setdefault(effect.flow_key, []).append(execution_id)
                self.queued[execution_id] = effect.at
                self._admit(effect.flow_key, effect.limit)
            case fx.ReleaseSlot():
                for held in (self.slots.get(effect.flow_key, []), self.waiting.get(effect.flow_key, [])):
                    if execution_id in held:
                        held.remove(execution_id)
                if effect.limit:
                    self._admit(effect.flow_key, effect.limit)
            case _:
                pass

    def _admit(self, flow_key: str, limit: int) -> None:
        held, waiting = self.slots.setdefault(flow_key, []), self.waiting.setdefault(flow_key, [])
        while waiting and len(held) < limit:
            execution_id = waiting.pop(0)
            held.append(execution_id)
            self.queue.append(cmd.AdmitExecution(execution_id=execution_id, queued=self.queued[execution_id]))

    def _answer(self, job: Job) -> None:
        token = f"token-{job.task_run_id}-{job.attempt}"
        key: dict[str, Any] = {"execution_id": job.execution_id, "task_run_id": job.task_run_id, "attempt": job.attempt}
        self.queue.append(cmd.TaskStarted(**key, token=token, worker="w", at=self.now))
        done = self.work(job)
        if done.lost:
            self.queue.append(cmd.WorkerLost(**key, token=token))
            return
        self.queue.append(
            cmd.TaskFinished(
                **key,
                token=token,
                state=done.state,
                at=self.now,
                outputs=done.outputs,
                error=done.error,
                released=done.released,
                values=done.values,
                children=done.children,
            )
        )

    def check_law(self) -> None:
        """Folding the log of every execution gives its state."""
        for id_, events in self.events.items():
            stored = list(events)
            folded = engine.fold(msgspec.convert(msgspec.to_builtins(stored), list[Event]))
            folded.dirty.clear()
            assert folded == self.executions[id_], f"fold differs for {id_}"
