"""Moments that are rare in life and frequent in the simulation (tests/simulation), each once as a plain test."""

from __future__ import annotations

import copy

from driver import Done, Driver, flow, task

from levada.engine import outputs
from levada.model import commands as cmd
from levada.model.execution import Execution, Parent
from levada.model.flow import Concurrency, Retry, RetryBehavior, Sla
from levada.model.jobs import Job
from levada.model.states import State


def work(id: str, **more: object) -> object:
    return task(id, "scripts.shell.Commands", **more)


def test_a_task_that_ends_well_in_the_moment_of_its_kill_has_ended_well() -> None:
    d = Driver(flow(work("a"), work("b")))
    d.hold_jobs = True
    x = d.start()
    job = d.waiting_jobs.popleft()
    key = {"execution_id": x.id, "task_run_id": job.task_run_id, "attempt": 1, "token": "t"}
    d.send(cmd.TaskStarted(**key, worker="w", at=d.now))
    d.send(cmd.KillExecution(execution_id=x.id), timers=False)
    assert d.states(x) == {"a": "KILLING"}
    d.send(cmd.TaskFinished(**key, state=State.SUCCESS, at=d.now), timers=False)
    assert (d.executions[x.id].state, d.states(x)) == (State.KILLED, {"a": "SUCCESS"})
    d.check_law()


def test_a_restart_that_had_to_queue_goes_on_when_it_is_admitted() -> None:
    verdicts = iter([State.FAILED, State.SUCCESS, State.SUCCESS])
    d = Driver(flow(work("a"), concurrency=Concurrency(limit=1)), work=lambda job: Done(state=next(verdicts)))
    failed = d.start()
    d.hold_jobs = True
    other = d.start()
    d.send(cmd.RestartExecution(execution_id=failed.id))
    assert d.executions[failed.id].state is State.QUEUED
    d.hold_jobs = False
    d.play()
    assert d.executions[other.id].state is State.SUCCESS
    assert (d.executions[failed.id].state, d.states(failed)) == (State.SUCCESS, {"a": "SUCCESS"})


def test_an_admission_of_an_earlier_wait_gives_nothing() -> None:
    verdicts = iter([State.SUCCESS, State.FAILED, State.SUCCESS, State.SUCCESS])
    d = Driver(flow(work("a"), concurrency=Concurrency(limit=1)), work=lambda job: Done(state=next(verdicts)))
    d.hold_jobs = True
    d.start()
    waited = d.start()
    old = cmd.AdmitExecution(execution_id=waited.id, queued=d.queued[waited.id])
    d.hold_jobs = False
    d.play()
    assert d.executions[waited.id].state is State.FAILED
    d.hold_jobs = True
    other = d.start()
    d.send(cmd.RestartExecution(execution_id=waited.id))
    d.send(old)
    assert (d.executions[other.id].state, d.executions[waited.id].state) == (State.RUNNING, State.QUEUED)
    d.hold_jobs = False
    d.play()
    assert d.executions[waited.id].state is State.SUCCESS


def test_a_forced_restart_begins_its_tasks() -> None:
    verdicts = iter([State.FAILED, State.SUCCESS, State.SUCCESS])
    d = Driver(flow(work("a"), concurrency=Concurrency(limit=1)), work=lambda job: Done(state=next(verdicts)))
    failed = d.start()
    d.hold_jobs = True
    d.start()
    d.send(cmd.RestartExecution(execution_id=failed.id))
    d.send(cmd.ForceRunExecution(execution_id=failed.id))
    d.hold_jobs = False
    d.play()
    assert d.executions[failed.id].state is State.SUCCESS


def test_an_execution_paused_by_hand_can_end_retried() -> None:
    again = Retry(type="constant", interval=1, max_attempts=2, behavior=RetryBehavior.CREATE_NEW_EXECUTION)
    d = Driver(flow(work("a"), retry=again), work=lambda job: Done(state=State.FAILED))
    d.hold_jobs = True
    x = d.start()
    d.send(cmd.PauseExecution(execution_id=x.id))
    d.hold_jobs = False
    d.play()
    assert [one.state for one in d.executions.values()] == [State.RETRIED, State.FAILED]


def test_a_parent_waits_for_the_execution_that_follows_a_retried_child() -> None:
    again = Retry(type="constant", interval=1, max_attempts=3, behavior=RetryBehavior.CREATE_NEW_EXECUTION)
    verdicts = iter([State.FAILED, State.FAILED, State.SUCCESS])
    child = flow(work("a"), id="child", retry=again)
    parent = flow(task("sub", "core.flow.Subflow", namespace="n", flowId="child", wait=True), id="parent")
    d = Driver(parent, child, work=lambda job: Done(state=next(verdicts)))
    x = d.start("parent")
    assert x.state is State.SUCCESS
    (run,) = d.runs(x)
    last = [one for one in d.executions.values() if one.flow_id == "child"][-1]
    assert run.child_execution == last.id
    assert run.outputs is not None
    assert run.outputs["executionId"] == last.id
    d.check_law()


def test_an_old_word_of_a_retried_child_does_not_take_the_parent_back() -> None:
    again = Retry(type="constant", interval=1, max_attempts=3, behavior=RetryBehavior.CREATE_NEW_EXECUTION)
    child = flow(work("a"), id="child", retry=again)
    parent = flow(task("sub", "core.flow.Subflow", namespace="n", flowId="child", wait=True), id="parent")
    words: list[cmd.SubflowStarted] = []

    def fail(job: Job) -> Done:
        d.queue.extend(words)
        return Done(state=State.FAILED)

    d = Driver(parent, child, work=fail)
    original = d._decide

    def heard(command: cmd.Command) -> None:
        if isinstance(command, cmd.SubflowStarted):
            words.append(command)
        original(command)

    d._decide = heard  # type: ignore[method-assign]
    assert d.start("parent").state is State.FAILED
    assert len({word.child_id for word in words}) == 2


def test_passes_of_a_loop_do_not_move_it_in_the_loop_around_it() -> None:
    until = task(
        "until",
        "core.flow.LoopUntil",
        condition="false",
        checkFrequency={"interval": "PT1S", "maxIterations": 3},
        tasks=[task("say", "core.debug.Return", format="{{ parent.taskrun.value }} {{ taskrun.iteration }}")],
    )
    d = Driver(flow(task("each", "core.flow.ForEach", values=["x", "y"], concurrencyLimit=2, tasks=[until])))
    x = d.start()
    assert x.state is State.SUCCESS
    assert [run.iteration for run in d.runs(x) if run.task_id == "until"] == [0, 1]
    said = [(run.outputs or {})["value"] for run in d.runs(x) if run.task_id == "say"]
    assert said == ["x 2", "y 2"]
    d.check_law()


def test_outputs_of_an_earlier_pass_are_gone_whether_or_not_the_execution_was_loaded_again() -> None:
    verdicts = iter([State.SUCCESS, State.SUCCESS, State.SUCCESS, State.FAILED])
    until = task(
        "until",
        "core.flow.LoopUntil",
        condition="false",
        checkFrequency={"interval": "PT1S", "maxIterations": 2},
        tasks=[work("a"), work("b")],
    )
    d = Driver(flow(until), work=lambda job: Done(state=next(verdicts), outputs={"ran": job.attempt}))
    assert_loads_alike(d.start())


def test_nothing_is_left_of_the_outputs_of_a_loop_in_an_earlier_pass() -> None:
    verdicts = iter([State.SUCCESS, State.SUCCESS, State.FAILED])
    until = task(
        "until",
        "core.flow.LoopUntil",
        condition="false",
        checkFrequency={"interval": "PT1S", "maxIterations": 2},
        tasks=[task("each", "core.flow.ForEach", values=["x", "y"], tasks=[work("a")])],
    )
    d = Driver(flow(until), work=lambda job: Done(state=(end := next(verdicts)), outputs=_only(end)))
    assert_loads_alike(d.start())


def _only(state: State) -> dict[str, object] | None:
    return {"ran": True} if state is State.SUCCESS else None


def assert_loads_alike(x: Execution) -> None:
    loaded = copy.deepcopy(x)
    outputs.rebuild(loaded)
    assert x.tree == loaded.tree


def test_a_restarted_parent_does_not_wait_for_a_child_that_has_ended_well() -> None:
    child = flow(work("a"), id="child")
    parent = flow(task("sub", "core.flow.Subflow", namespace="n", flowId="child", wait=True), id="parent")
    d = Driver(parent, child)
    d.hold_jobs = True
    x = d.start("parent")
    d.send(cmd.KillExecution(execution_id=x.id, cascade=False))
    d.hold_jobs = False
    d.play()
    assert [one.state for one in d.executions.values()] == [State.KILLED, State.SUCCESS]
    d.send(cmd.RestartExecution(execution_id=x.id))
    assert [one.state for one in d.executions.values()] == [State.SUCCESS, State.SUCCESS]
    d.check_law()


def test_a_repeated_wish_of_a_parent_does_not_restart_its_child_again() -> None:
    """An executor that was frozen for long sends once more what was committed and sent by others meanwhile."""
    child = flow(work("a"), id="child")
    parent = flow(task("sub", "core.flow.Subflow", namespace="n", flowId="child", wait=True), id="parent")
    d = Driver(parent, child, work=lambda job: Done(state=State.FAILED))
    x = d.start("parent")
    d.send(cmd.RestartExecution(execution_id=x.id))
    (run,) = d.runs(x)
    assert run.child_execution is not None
    failed = d.executions[run.child_execution]
    assert (run.attempt, failed.restarts, failed.state) == (2, 1, State.FAILED)
    me = Parent(execution_id=x.id, task_run_id=run.id, attempt=2)
    d.send(cmd.RestartExecution(execution_id=failed.id, parent=me))
    assert failed.restarts == 1
    d.send(cmd.RestartExecution(execution_id=x.id))
    d.send(cmd.RestartExecution(execution_id=failed.id))
    assert d.executions[failed.id].restarts == 3
    d.check_law()


def test_a_restarted_parent_follows_a_child_that_ended_retried_while_nobody_waited() -> None:
    again = Retry(type="constant", interval=1, max_attempts=2, behavior=RetryBehavior.CREATE_NEW_EXECUTION)
    verdicts = iter([State.FAILED, State.SUCCESS])
    child = flow(work("a", allow_failure=True), id="child", retry=again)
    parent = flow(task("sub", "core.flow.Subflow", namespace="n", flowId="child", wait=True), id="parent")
    d = Driver(parent, child, work=lambda job: Done(state=next(verdicts)))
    d.hold_jobs = True
    x = d.start("parent")
    d.send(cmd.KillExecution(execution_id=x.id, cascade=False))
    d.hold_jobs = False
    d.play()
    assert [one.state for one in d.executions.values()] == [State.KILLED, State.RETRIED, State.SUCCESS]
    d.send(cmd.RestartExecution(execution_id=x.id))
    assert x.state is State.SUCCESS
    d.check_law()


def test_an_execution_that_nothing_follows_does_not_end_retried() -> None:
    """The policy allowed another execution when the task failed, and no more when everything had ended."""
    again = Retry(type="constant", interval=1, max_duration=2_000_000, behavior=RetryBehavior.CREATE_NEW_EXECUTION)
    d = Driver(
        flow(work("a"), retry=again, finally_=(task("rest", "core.flow.Sleep", duration="PT10S"),)),
        work=lambda job: Done(state=State.FAILED),
    )
    assert d.start().state is State.FAILED
    assert len(d.executions) == 1


def test_a_restarted_parent_hears_that_its_child_is_gone() -> None:
    child = flow(work("a"), id="child")
    parent = flow(task("sub", "core.flow.Subflow", namespace="n", flowId="child", wait=True), id="parent")
    d = Driver(parent, child, work=lambda job: Done(state=State.FAILED))
    x = d.start("parent")
    (run,) = d.runs(x)
    assert run.child_execution is not None
    del d.executions[run.child_execution]
    d.send(cmd.RestartExecution(execution_id=x.id))
    assert x.state is State.FAILED
    assert any("Unable to find execution" in message for message in d.messages())


def test_a_clock_of_an_earlier_life_may_end_an_execution_that_waits_for_a_slot() -> None:
    again = Retry(type="constant", interval=1, max_attempts=2, behavior=RetryBehavior.CREATE_NEW_EXECUTION)
    late = Sla(id="late", type="MAX_DURATION", behavior="FAIL", duration=60_000_000)
    limited = flow(work("a"), retry=again, sla=(late,), concurrency=Concurrency(limit=1))
    d = Driver(limited, work=lambda job: Done())
    d.hold_jobs = True
    for id_ in ("X", "Y"):
        d.send(cmd.StartExecution(execution_id=id_, namespace="n", flow_id="f"), timers=False)
    x = d.executions["Y"]
    d.send(cmd.UnqueueExecution(execution_id=x.id), timers=False)
    d.send(cmd.KillExecution(execution_id=x.id), timers=False)
    d.send(cmd.RestartExecution(execution_id=x.id), timers=False)
    assert d.executions[x.id].state is State.QUEUED
    d.play()
    assert d.executions[x.id].state is State.RETRIED


def test_an_attempt_that_an_sla_had_ended_is_not_retried() -> None:
    """It fails while it is being ended: its task run is KILLING by then, the execution is not."""
    late = Sla(id="late", type="MAX_DURATION", behavior="FAIL", duration=60_000_000)
    again = Retry(type="constant", interval=1, max_attempts=3)
    d = Driver(flow(work("a"), errors=(work("mend", retry=again),), sla=(late,)))
    d.hold_jobs = True
    d.send(cmd.StartExecution(execution_id="X", namespace="n", flow_id="f"), timers=False)
    x = d.executions["X"]
    for token, state in (("t", State.FAILED), ("u", None)):
        job = d.waiting_jobs.popleft()
        key = {"execution_id": x.id, "task_run_id": job.task_run_id, "attempt": 1, "token": token}
        d.send(cmd.TaskStarted(**key, worker="w", at=d.now), timers=False)
        if state is not None:
            d.send(cmd.TaskFinished(**key, state=state, at=d.now), timers=False)
    d.play()  # nothing is left but the clock of the SLA
    assert d.states(x) == {"a": "FAILED", "mend": "KILLING"}
    d.send(cmd.TaskFinished(**key, state=State.FAILED, at=d.now))
    assert (d.executions["X"].state, d.states(x)["mend"]) == (State.FAILED, "KILLED")
    d.check_law()


def test_outputs_of_a_failed_attempt_are_there_while_it_waits_for_the_next() -> None:
    again = Retry(type="constant", interval=60_000_000, max_attempts=2)
    d = Driver(flow(work("a", retry=again)), work=lambda job: Done(state=State.FAILED, outputs={"ran": job.attempt}))
    d.send(cmd.StartExecution(execution_id="X", namespace="n", flow_id="f"), timers=False)
    x = d.executions["X"]
    assert (d.states(x), x.tree) == ({"a": "RETRYING"}, {"a": {"ran": 1}})
    assert_loads_alike(x)
