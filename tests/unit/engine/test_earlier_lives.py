"""Parents that are restarted, and messages of the life before that come late or twice: the attempt tells them apart."""

from __future__ import annotations

from driver import Done, Driver, flow, task

from levada.model import commands as cmd
from levada.model.execution import Execution, Parent, TaskRun
from levada.model.flow import Flow
from levada.model.states import State

CHILD = flow(task("a", "scripts.shell.Commands"), id="child")
PARENT = flow(task("sub", "core.flow.Subflow", namespace="n", flowId="child", wait=True), id="parent")


def failing_first(*, child: Flow = CHILD) -> tuple[Driver, Execution, TaskRun, Execution]:
    """Return a driver whose parent and child have failed once; jobs wait from now on, and would succeed."""
    verdicts = iter([State.FAILED])
    d = Driver(PARENT, child, work=lambda job: Done(state=next(verdicts, State.SUCCESS)))
    x = d.start("parent")
    (run,) = d.runs(x)
    assert run.child_execution is not None
    d.hold_jobs = True
    return d, x, run, d.executions[run.child_execution]


def asker(x: Execution, run: TaskRun, attempt: int) -> Parent:
    return Parent(execution_id=x.id, task_run_id=run.id, attempt=attempt)


def failed(
    x: Execution, run: TaskRun, child: Execution, attempt: int, iteration: int | None = None
) -> cmd.SubflowEnded:
    return cmd.SubflowEnded(
        execution_id=x.id,
        task_run_id=run.id,
        attempt=attempt,
        child_id=child.id,
        state=State.FAILED,
        iteration=iteration,
    )


def test_a_replayed_parent_starts_a_child_of_its_own() -> None:
    d, x, run, child = failing_first()
    d.hold_jobs = False
    replay = {"replay_of": x.id, "replay_from": run.id, "original_id": x.id}
    d.send(cmd.StartExecution(execution_id="R", namespace="n", flow_id="parent", **replay))
    (copied,) = d.runs(d.executions["R"])
    assert copied.child_execution not in (None, child.id)
    assert d.executions["R"].state is State.SUCCESS
    assert (x.state, child.state, child.restarts) == (State.FAILED, State.FAILED, 0)
    d.check_law()


def test_a_repeated_kill_does_not_reach_the_life_after_a_restart() -> None:
    d, x, run, child = failing_first()
    d.send(cmd.RestartExecution(execution_id=x.id))
    assert child.state is State.RUNNING
    d.send(cmd.KillExecution(execution_id=child.id, parent=asker(x, run, 1)))
    assert child.state is State.RUNNING
    d.send(cmd.KillExecution(execution_id=child.id, parent=asker(x, run, 2)), timers=False)
    assert child.state in (State.KILLING, State.KILLED)
    d.check_law()


def test_a_kill_by_people_or_by_another_needs_no_attempt() -> None:
    d, x, _, child = failing_first()
    d.send(cmd.RestartExecution(execution_id=x.id))
    d.send(cmd.KillExecution(execution_id=child.id), timers=False)
    assert child.state in (State.KILLING, State.KILLED)


def test_the_repeated_end_of_an_earlier_life_ends_nothing() -> None:
    d, x, run, child = failing_first()
    d.send(cmd.RestartExecution(execution_id=x.id))
    d.send(failed(x, run, child, 1))
    assert (x.state, run.state, child.restarts) == (State.RUNNING, State.RUNNING, 1)
    d.hold_jobs = False
    d.play()
    assert (x.state, child.state, child.restarts) == (State.SUCCESS, State.SUCCESS, 1)
    d.check_law()


def test_a_child_that_still_runs_when_its_parent_is_restarted_answers_the_new_attempt() -> None:
    d, x, run, child = failing_first()
    d.send(cmd.RestartExecution(execution_id=child.id))  # by hand, while nobody waits for it
    d.send(cmd.RestartExecution(execution_id=x.id))
    assert (child.state, child.restarts, child.parent and child.parent.attempt) == (State.RUNNING, 1, 2)
    d.send(cmd.KillExecution(execution_id=child.id, parent=asker(x, run, 1)))
    assert child.state is State.RUNNING
    d.hold_jobs = False
    d.play()
    assert (x.state, child.state, child.restarts, run.attempt) == (State.SUCCESS, State.SUCCESS, 1, 2)
    d.check_law()


def test_a_child_that_was_not_told_of_the_attempt_is_asked_again() -> None:
    """One that was restarted by a release which did not write the attempt down."""
    d, x, run, child = failing_first()
    d.send(cmd.RestartExecution(execution_id=x.id))
    d.hold_jobs = False
    assert child.parent is not None
    child.parent = asker(x, run, 1)
    d.play()
    assert (x.state, child.state, child.restarts) == (State.SUCCESS, State.SUCCESS, 1)
    assert (child.parent and child.parent.attempt) == 2
    d.check_law()


def test_the_end_of_a_batch_of_an_earlier_attempt_is_not_counted() -> None:
    properties = {"items": "nsfile:///x", "namespace": "n", "flowId": "child", "wait": True, "batch": {"rows": 1}}
    batches = flow(task("each", "core.flow.ForEachItem", **properties), id="batches")
    d = Driver(batches, CHILD, work=lambda job: Done(outputs={"uris": ["a", "b"]}))
    d.hold_jobs = True
    x = d.start("batches")
    d._answer(d.waiting_jobs.popleft())  # the split
    d.play()
    (run,) = (run for run in d.runs(x) if run.task_id == "each_items")
    first = next(one for one in d.executions.values() if one.flow_id == "child")
    d.send(failed(x, run, first, 0, iteration=0))
    assert (run.outputs or {})["iterations"]["RUNNING"] == 2
    d.send(failed(x, run, first, 1, iteration=0))
    assert (run.outputs or {})["iterations"]["RUNNING"] == 1
