"""The fold: how an event changes an execution. The only code that changes one.

`evolve` consumes its argument: whoever holds an `Execution` owns it alone, and a copy per event would make a loop of n
items cost n². It never decides anything, so that folding the stored events always gives the stored state. An event that
does not fit (an unknown task run, a forbidden transition) is a `Defect`, raised before anything was changed.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from levada.engine import counting, outputs
from levada.model import events as ev
from levada.model import ids
from levada.model.errors import Defect
from levada.model.execution import Attempt, Execution, Progress, TaskRun
from levada.model.states import EXECUTION_TRANSITIONS, TASK_RUN_TRANSITIONS, State


def fold(events: list[ev.Event]) -> Execution:
    """Return the state after all `events`; the first must be ExecutionCreated."""
    execution: Execution | None = None
    for event in events:
        execution = evolve(execution, event)
    if execution is None:
        raise Defect("an execution without events does not exist")
    return execution


def evolve(execution: Execution | None, event: ev.Event) -> Execution:
    """Apply one event and return the changed execution (the same object, or a new one for ExecutionCreated)."""
    if isinstance(event, ev.ExecutionCreated):
        if execution is not None:
            raise Defect(f"execution {execution.id} exists already")
        execution = _created(event)
    elif execution is None:
        raise Defect(f"{type(event).__name__} came before the execution was created")
    else:
        _HANDLERS[type(event)](execution, event)
    execution.seq += 1
    return execution


def _created(event: ev.ExecutionCreated) -> Execution:
    execution = Execution(
        id=event.id,
        tenant=event.tenant,
        namespace=event.namespace,
        flow_id=event.flow_id,
        flow_revision=event.flow_revision,
        state=event.history[-1][0] if event.history else State.CREATED,
        history=list(event.history) or [(State.CREATED, event.at)],
        created=event.at,
        inputs=event.inputs,
        labels=list(event.labels),
        variables=event.variables,
        trigger=event.trigger,
        parent=event.parent,
        original_id=event.original_id,
        scheduled=event.scheduled,
        kind=event.kind,
        attempt_number=event.attempt_number,
        original_created=event.original_created,
        breakpoints=list(event.breakpoints),
        trace_parent=event.trace_parent,
    )
    for recorded in event.task_runs:
        run: TaskRun = msgspec.convert(msgspec.to_builtins(recorded), TaskRun)  # the event must not change later
        execution.task_runs[run.id] = run
        execution.dirty.add(run.id)
        execution.runs += 1
    if event.task_runs:
        counting.recount(execution)
        outputs.rebuild(execution)
    return execution


def _state_changed(x: Execution, e: ev.ExecutionStateChanged) -> None:
    if e.state not in EXECUTION_TRANSITIONS[x.state]:
        raise Defect(f"execution {x.id} can not go from {x.state} to {e.state}")
    x.state = e.state
    x.history.append((e.state, e.at))
    x.resume_to = e.resume_to
    if e.error is not None:
        x.error = e.error


def _ending(x: Execution, e: ev.ExecutionEnding) -> None:
    x.ending = e.state
    if e.error is not None:
        x.error = e.error


def _outputs_set(x: Execution, e: ev.ExecutionOutputsSet) -> None:
    x.outputs = e.outputs


def _labels_set(x: Execution, e: ev.LabelsSet) -> None:
    x.labels = list(e.labels)


def _variables_set(x: Execution, e: ev.VariablesSet) -> None:
    x.variables = e.variables


def _slot_taken(x: Execution, e: ev.SlotTaken) -> None:
    x.holds_slot = True


def _slot_released(x: Execution, e: ev.SlotReleased) -> None:
    x.holds_slot = False


def _sla_breached(x: Execution, e: ev.SlaBreached) -> None:
    x.breached.append(e.sla)


def _deleted(x: Execution, e: ev.ExecutionDeleted) -> None:
    x.deleted = True


def _stage_entered(x: Execution, e: ev.StageEntered) -> None:
    progress = x.progress if e.task_run_id is None else counting.progress_of(x, e.task_run_id)
    progress.stage = e.stage
    progress.next = 0
    progress.running = 0
    if e.task_run_id is not None:
        x.dirty.add(e.task_run_id)


def _task_run_created(x: Execution, e: ev.TaskRunCreated) -> None:
    if e.id in x.task_runs:
        raise Defect(f"task run {e.id} of {x.id} exists already")
    progress = None
    if e.container:
        progress = Progress(done={} if e.tracks else None)
    run = TaskRun(
        id=e.id,
        task_id=e.task_id,
        state=State.CREATED,
        history=[(State.CREATED, e.at)],
        parent_id=e.parent_id,
        branch=e.branch,
        index=e.index,
        value=e.value,
        iteration=e.iteration,
        progress=progress,
    )
    x.task_runs[e.id] = run
    x.runs += 1
    _touch(x, run)
    counting.created(x, run)


def _submitted(x: Execution, e: ev.TaskRunSubmitted) -> None:
    run = _run(x, e.id)
    run.attempt = e.attempt
    run.token = None
    run.due = None
    _move(run, State.SUBMITTED, e.at)
    run.attempts.append(Attempt(number=e.attempt, state=State.CREATED, history=[(State.CREATED, e.at)]))
    x.dirty.add(run.id)


def _started(x: Execution, e: ev.TaskRunStarted) -> None:
    run = _run(x, e.id)
    if run.attempt != e.attempt:
        run.attempt = e.attempt
        run.attempts.append(Attempt(number=e.attempt, state=State.CREATED, history=[(State.CREATED, e.at)]))
    run.token = e.token
    run.due = None
    _move(run, State.RUNNING, e.at)
    attempt = run.attempts[-1]
    attempt.state = State.RUNNING
    attempt.worker = e.worker
    attempt.history.append((State.RUNNING, e.at))
    x.dirty.add(run.id)


def _run_state_changed(x: Execution, e: ev.TaskRunStateChanged) -> None:
    run = _run(x, e.id)
    if e.state is not run.state:  # the same state: only when it moves by itself is new
        _move(run, e.state, e.at)
    run.due = e.due
    x.dirty.add(run.id)


def _resubmitted(x: Execution, e: ev.TaskRunResubmitted) -> None:
    run = _run(x, e.id)
    _end_attempt(run, State.RESUBMITTED, e.at)
    _move(run, State.RESUBMITTED, e.at)
    run.token = None
    x.dirty.add(run.id)


def _retrying(x: Execution, e: ev.TaskRunRetrying) -> None:
    run = _run(x, e.id)
    if not run.attempts or run.attempts[-1].number != e.attempt:
        run.attempts.append(Attempt(number=e.attempt, state=State.RUNNING, history=[(State.RUNNING, e.at)]))
        run.attempt = e.attempt
        if run.state is not State.RUNNING:
            _move(run, State.RUNNING, e.at)
    _end_attempt(run, State.FAILED, e.at)
    _move(run, State.RETRYING, e.at)
    run.token = None
    run.due = e.due
    run.error = e.error
    run.warned = run.warned or e.warn
    run.conditions = None
    if e.outputs is not None:
        run.outputs = e.outputs
        outputs.place(x, run)
    x.dirty.add(run.id)


def _ended(x: Execution, e: ev.TaskRunEnded) -> None:
    run = _run(x, e.id)
    if run.state.is_terminal:
        raise Defect(f"task run {run.id} of {x.id} ended already")
    if e.started is not None and e.inline:
        run.attempt = e.attempt
        history = [(State.CREATED, e.started), (State.RUNNING, e.started)]
        run.attempts.append(Attempt(number=e.attempt, state=State.RUNNING, history=history))
        _move(run, State.RUNNING, e.started)
    if run.attempts and not run.attempts[-1].state.is_terminal:
        _end_attempt(run, e.state, e.at)
        run.attempts[-1].log_file = e.log_file
    _move(run, e.state, e.at)
    run.token = None
    run.due = None
    run.error = e.error
    if e.outputs is not None:
        run.outputs = {**run.outputs, **e.outputs} if run.outputs and run.progress is not None else e.outputs
    outputs.place(x, run)
    _touch(x, run)
    counting.ended(x, run)


def _run_outputs_set(x: Execution, e: ev.TaskRunOutputsSet) -> None:
    run = _run(x, e.id)
    run.outputs = {**(run.outputs or {}), **e.outputs}
    if e.child_execution is not None:
        run.child_execution = e.child_execution
    outputs.place(x, run)
    x.dirty.add(run.id)


def _items_resolved(x: Execution, e: ev.ItemsResolved) -> None:
    run = _run(x, e.id)
    run.items = e.items
    run.item_keys = e.keys
    x.dirty.add(run.id)


def _conditions_evaluated(x: Execution, e: ev.ConditionsEvaluated) -> None:
    run = _run(x, e.id)
    run.conditions = {**(run.conditions or {}), **e.values}
    run.token = None  # the attempt that evaluated is over
    x.dirty.add(run.id)


def _children_reported(x: Execution, e: ev.ChildrenReported) -> None:
    for child in e.children:
        id_ = ids.derive(e.id, child.key)
        run = x.task_runs.get(id_)
        if run is None:
            x.runs += 1
            run = x.task_runs[id_] = TaskRun(id=id_, task_id=child.task_id, state=child.state, history=[])
        run.parent_id = e.id
        run.index = child.index
        run.value = child.value
        run.dynamic = True
        run.state = child.state
        run.history = list(child.history)
        run.error = child.error
        run.outputs = child.outputs
        begun = [entry for entry in child.history if entry[0] is not State.SUBMITTED]
        run.attempt = child.attempts
        run.attempts = [Attempt(number=n + 1, state=child.state, history=begun) for n in range(child.attempts)]
        outputs.place(x, run)
        x.dirty.add(id_)


def _iteration_restarted(x: Execution, e: ev.IterationRestarted) -> None:
    run = _run(x, e.id)
    for id_ in e.removed:
        outputs.remove(x, x.task_runs[id_])
    for id_ in e.removed:
        x.task_runs.pop(id_)
        x.dirty.add(id_)
    run.passes = e.iteration
    if run.value is None:  # not itself an iteration of a loop around it
        run.iteration = e.iteration
    run.progress = Progress()
    run.due = None
    x.dirty.add(run.id)


def _rewound(x: Execution, e: ev.ExecutionRewound) -> None:
    for id_ in e.removed:
        x.task_runs.pop(id_, None)
        x.dirty.add(id_)
    for id_, state in e.states:
        run = _run(x, id_)
        run.state = state
        run.history.append((state, e.at))
        run.token = None
        run.due = None
        run.conditions = None
        if state.is_terminal and run.attempts:
            run.attempts[-1].state = state
            run.attempts[-1].history.append((state, e.at))
        x.dirty.add(id_)
    x.state = e.state
    x.history.append((e.state, e.at))
    x.ending = None
    x.resume_to = None
    x.error = None
    x.outputs = None
    if e.flow_revision is not None:
        x.flow_revision = e.flow_revision
    if e.restart:
        x.restarts += 1
    if e.parent_attempt is not None:
        _waited_for(x, e.parent_attempt)
    counting.recount(x)
    outputs.rebuild(x)


def _adopted(x: Execution, e: ev.ExecutionAdopted) -> None:
    _waited_for(x, e.parent_attempt)


def _waited_for(x: Execution, attempt: int) -> None:
    assert x.parent is not None
    x.parent = msgspec.structs.replace(x.parent, attempt=attempt)


def _run(x: Execution, id_: str) -> TaskRun:
    run = x.task_runs.get(id_)
    if run is None:
        raise Defect(f"execution {x.id} has no task run {id_}")
    return run


def _touch(x: Execution, run: TaskRun) -> None:
    x.dirty.add(run.id)
    if run.parent_id is not None:
        x.dirty.add(run.parent_id)


def _move(run: TaskRun, state: State, at: int) -> None:
    if state not in TASK_RUN_TRANSITIONS[run.state]:
        raise Defect(f"task run {run.id} ({run.task_id}) can not go from {run.state} to {state}")
    run.state = state
    run.history.append((state, at))


def _end_attempt(run: TaskRun, state: State, at: int) -> None:
    if run.attempts:
        run.attempts[-1].state = state
        run.attempts[-1].history.append((state, at))


_HANDLERS: dict[type, Callable[[Execution, Any], None]] = {
    ev.ExecutionStateChanged: _state_changed,
    ev.ExecutionEnding: _ending,
    ev.ExecutionOutputsSet: _outputs_set,
    ev.LabelsSet: _labels_set,
    ev.VariablesSet: _variables_set,
    ev.SlotTaken: _slot_taken,
    ev.SlotReleased: _slot_released,
    ev.SlaBreached: _sla_breached,
    ev.StageEntered: _stage_entered,
    ev.TaskRunCreated: _task_run_created,
    ev.TaskRunSubmitted: _submitted,
    ev.TaskRunStarted: _started,
    ev.TaskRunStateChanged: _run_state_changed,
    ev.TaskRunResubmitted: _resubmitted,
    ev.TaskRunRetrying: _retrying,
    ev.TaskRunEnded: _ended,
    ev.TaskRunOutputsSet: _run_outputs_set,
    ev.ItemsResolved: _items_resolved,
    ev.ConditionsEvaluated: _conditions_evaluated,
    ev.ChildrenReported: _children_reported,
    ev.IterationRestarted: _iteration_restarted,
    ev.ExecutionRewound: _rewound,
    ev.ExecutionAdopted: _adopted,
    ev.ExecutionDeleted: _deleted,
}

_UNION = set(ev.Event.__args__)
assert _HANDLERS.keys() | {ev.ExecutionCreated} == _UNION, "every event needs its handler"
