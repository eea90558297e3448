"""Retries, kills, pauses, subflows, concurrency, restarts, replays, lost workers: the life of an execution."""

import msgspec
import pytest
from driver import Done, Driver, flow, task

from levada import engine
from levada.model import commands as cmd
from levada.model.flow import Concurrency, ConcurrencyBehavior, Flow, Input, Output, Retry, RetryBehavior, Sla
from levada.model.jobs import Job, JobKind
from levada.model.states import State


def job(id: str, **more: object) -> object:
    return task(id, "scripts.shell.Commands", **more)


def fail(id: str, **more: object) -> object:
    return task(id, "core.execution.Fail", **more)


def log(id: str, message: str = "hi", **more: object) -> object:
    return task(id, "core.log.Log", message=message, **more)


def failing(times: int) -> object:
    made = {"n": 0}

    def work(job_: Job) -> Done:
        made["n"] += 1
        return Done(state=State.FAILED, error="boom") if made["n"] <= times else Done()

    return work


SECOND = 1_000_000


# -- retry
def test_a_failed_task_is_tried_again_after_the_interval() -> None:
    retry = Retry(type="constant", interval=5 * SECOND, max_attempts=3)
    d = Driver(flow(job("a", retry=retry), log("b")), work=failing(2))
    before = d.now
    x = d.start()
    run = d.runs(x)[0]
    assert x.state is State.SUCCESS
    assert [a.state for a in run.attempts] == [State.FAILED, State.FAILED, State.SUCCESS]
    assert [j.attempt for j in d.jobs] == [1, 2, 3]
    assert d.now - before >= 10 * SECOND
    d.check_law()


def test_retries_end_at_the_limit() -> None:
    retry = Retry(type="exponential", interval=SECOND, max_interval=60 * SECOND, max_attempts=4)
    d = Driver(flow(fail("a", retry=retry)))
    before = d.now
    x = d.start()
    assert x.state is State.FAILED
    assert len(d.runs(x)[0].attempts) == 4
    assert 7 * SECOND <= d.now - before < 8 * SECOND
    d.check_law()


def test_warning_on_retry_and_the_policy_of_the_enclosing_flowable() -> None:
    retry = Retry(type="constant", interval=1, max_attempts=2, warning_on_retry=True)
    seq = task("s", "core.flow.Sequential", tasks=[job("a")], retry=retry)
    d = Driver(flow(seq), work=failing(1))
    x = d.start()
    assert d.states(x) == {"s": "WARNING", "a": "WARNING"}
    assert x.state is State.WARNING


def test_a_flow_retry_may_make_new_executions() -> None:
    retry = Retry(type="constant", interval=SECOND, max_attempts=3, behavior=RetryBehavior.CREATE_NEW_EXECUTION)
    d = Driver(flow(fail("a"), retry=retry))
    d.start()
    states = [x.state.value for x in d.executions.values()]
    assert states == ["RETRIED", "RETRIED", "FAILED"]
    assert [x.attempt_number for x in d.executions.values()] == [1, 2, 3]


def test_a_task_retry_may_make_new_executions() -> None:
    retry = Retry(type="constant", interval=SECOND, max_attempts=2, behavior=RetryBehavior.CREATE_NEW_EXECUTION)
    d = Driver(flow(fail("a", retry=retry)))
    d.start()
    assert [x.state.value for x in d.executions.values()] == ["RETRIED", "FAILED"]


# -- workers
def test_a_lost_worker_brings_a_second_attempt() -> None:
    seen = []

    def work(job_: Job) -> Done:
        seen.append(job_.attempt)
        return Done(lost=job_.attempt == 1)

    d = Driver(flow(job("a")), work=work)
    x = d.start()
    assert x.state is State.SUCCESS
    assert seen == [1, 2]
    assert [a.state for a in d.runs(x)[0].attempts] == [State.RESUBMITTED, State.SUCCESS]
    d.check_law()


def test_a_task_that_must_not_run_twice_fails_when_its_worker_is_lost() -> None:
    d = Driver(flow(job("a", on_worker_lost="fail")), work=lambda j: Done(lost=True))
    x = d.start()
    assert x.state is State.FAILED
    assert len(d.jobs) == 1
    assert "onWorkerLost" in d.messages()[-1]


def test_a_released_attempt_runs_again_and_fails_nothing() -> None:
    d = Driver(flow(job("a")), work=lambda j: Done(released=j.attempt == 1))
    assert d.start().state is State.SUCCESS
    assert len(d.jobs) == 2


def test_the_result_of_an_old_attempt_changes_nothing() -> None:
    d = Driver(flow(job("a")))
    d.hold_jobs = True
    x = d.start()
    run = d.runs(x)[0]
    key = {"execution_id": x.id, "task_run_id": run.id}
    d.send(cmd.TaskStarted(**key, attempt=1, token="t1", worker="w", at=d.now))
    d.send(cmd.WorkerLost(**key, attempt=1, token="t1"))
    assert run.attempt == 2
    before = msgspec.json.encode(x.task_runs)
    d.send(cmd.TaskFinished(**key, attempt=1, token="t1", state=State.SUCCESS, at=d.now))
    d.send(cmd.TaskFinished(**key, attempt=2, token="wrong", state=State.SUCCESS, at=d.now))
    assert msgspec.json.encode(x.task_runs) == before
    d.hold_jobs = False
    d.play()
    assert x.state is State.SUCCESS


def test_a_result_that_comes_twice_counts_once() -> None:
    d = Driver(flow(job("a"), job("b")))
    x = d.start()
    run = d.runs(x)[0]
    events = len(d.events[x.id])
    token = f"token-{run.id}-1"
    d.send(
        cmd.TaskFinished(execution_id=x.id, task_run_id=run.id, attempt=1, token=token, state=State.FAILED, at=d.now)
    )
    assert len(d.events[x.id]) == events


def test_expressions_that_need_a_service_are_rendered_by_a_worker() -> None:
    def work(job_: Job) -> Done:
        if job_.kind is JobKind.EVALUATE:
            return Done(
                values={
                    name: {"labels": {"k": "from kv"}} if name == "properties" else "true"
                    for name in job_.task.properties
                }
            )
        return Done(outputs={"value": "run by the worker"})

    d = Driver(
        flow(
            task("l", "core.execution.Labels", labels={"k": "{{ kv('x') }}"}),
            task("r", "core.debug.Return", format="{{ secret('x') }}"),
            task("i", "core.flow.If", condition="{{ kv('y') }}", run_if="{{ kv('z') }}", then=[log("t")]),
        ),
        work=work,
    )
    x = d.start()
    assert x.state is State.SUCCESS, d.messages()
    assert dict(x.labels)["k"] == "from kv"
    assert [j.kind for j in d.jobs] == [JobKind.EVALUATE, JobKind.RUN, JobKind.EVALUATE]
    assert d.order(x) == ["l", "r", "i", "t"]
    d.check_law()


def test_a_job_carries_only_what_its_expressions_read() -> None:
    reads = job("c", commands=["echo {{ outputs.a.ran }} {{ inputs.x }}"])
    d = Driver(flow(job("a"), job("b"), reads, variables={"big": "v" * 1000}))
    d.start(inputs={"x": 1, "y": 2}, resolved=True)
    variables = d.jobs[2].variables
    assert variables["outputs"] == {"a": {"ran": "a"}}
    assert "vars" not in variables
    assert set(variables) == {"flow", "execution", "task", "taskrun", "outputs", "inputs"}


# -- kill
def test_kill_ends_what_waits_and_waits_for_what_runs() -> None:
    par = task("p", "core.flow.Parallel", tasks=[job("a"), job("b")])
    d = Driver(flow(par, log("c"), errors=(log("e"),), after_execution=(log("z"),)))
    d.hold_jobs = True
    x = d.start()
    a, b = d.runs(x)[1:]
    d.send(cmd.TaskStarted(execution_id=x.id, task_run_id=a.id, attempt=1, token="t", worker="w", at=d.now))
    d.send(cmd.KillExecution(execution_id=x.id), timers=False)
    assert x.state is State.KILLING
    assert a.state is State.KILLING
    assert b.state is State.KILLED
    d.send(
        cmd.TaskFinished(execution_id=x.id, task_run_id=a.id, attempt=1, token="t", state=State.KILLED, at=d.now),
        timers=False,
    )
    assert x.state is State.KILLED
    assert d.states(x) == {"p": "KILLED", "a": "KILLED", "b": "KILLED", "z": "SUCCESS"}
    d.check_law()


def test_a_worker_that_never_answers_can_not_hold_a_kill() -> None:
    d = Driver(flow(job("a")))
    d.hold_jobs = True
    x = d.start()
    run = d.runs(x)[0]
    d.send(cmd.TaskStarted(execution_id=x.id, task_run_id=run.id, attempt=1, token="t", worker="w", at=d.now))
    d.send(cmd.KillExecution(execution_id=x.id))
    assert x.state is State.KILLED
    assert run.state is State.KILLED


def test_kill_reaches_retrying_and_paused_runs_and_subflows() -> None:
    retry = Retry(type="constant", interval=3600 * SECOND, max_attempts=3)
    child = flow(job("x"), id="child")
    parent = flow(
        task(
            "p",
            "core.flow.Parallel",
            tasks=[
                fail("r", retry=retry),
                task("w", "core.flow.Pause"),
                task("s", "core.flow.Subflow", namespace="n", flowId="child"),
            ],
        )
    )
    d = Driver(parent, child)
    d.hold_jobs = True
    d.queue.append(cmd.StartExecution(execution_id="P", namespace="n", flow_id="f"))
    d.play(timers=False)
    d.send(cmd.KillExecution(execution_id="P"), timers=False)
    assert [x.state for x in d.executions.values()] == [State.KILLED, State.KILLED]
    d.play()
    assert d.executions["P"].state is State.KILLED
    d.check_law()


def test_killing_twice_or_after_the_end_does_nothing() -> None:
    d = Driver(flow(log("a")))
    x = d.start()
    events = len(d.events[x.id])
    d.send(cmd.KillExecution(execution_id=x.id))
    assert len(d.events[x.id]) == events


# -- pause
def test_a_pause_waits_and_resumes_with_inputs() -> None:
    ask = [{"id": "n", "type": "INT"}, {"id": "o", "type": "STRING", "required": False}]
    d = Driver(flow(task("p", "core.flow.Pause", onResume=ask), log("l", "{{ outputs.p.onResume.n }}")))
    x = d.start()
    assert x.state is State.PAUSED
    with pytest.raises(Exception, match="missing required input"):
        engine.decide(x, d.flows["n", "f"], cmd.ResumeExecution(execution_id=x.id), d.now, d.env)
    d.send(cmd.ResumeExecution(execution_id=x.id, inputs={"n": "4"}))
    assert x.state is State.SUCCESS
    assert d.messages() == ["4"]
    states = [s.value for s, _ in d.runs(x)[0].history]
    assert states == ["CREATED", "RUNNING", "PAUSED", "RUNNING", "SUCCESS"]
    d.check_law()


@pytest.mark.parametrize(
    ("behavior", "state"), [("RESUME", "SUCCESS"), ("WARN", "WARNING"), ("FAIL", "FAILED"), ("CANCEL", "CANCELLED")]
)
def test_a_pause_ends_by_its_duration(behavior: str, state: str) -> None:
    d = Driver(flow(task("p", "core.flow.Pause", pauseDuration="PT10S", behavior=behavior), log("l")))
    x = d.start()
    assert x.state.value == state, d.messages()
    assert ("l" in d.order(x)) == (state in ("SUCCESS", "WARNING"))
    d.check_law()


def test_a_pause_timeout_fails() -> None:
    d = Driver(flow(task("p", "core.flow.Pause", timeout="PT10S")))
    x = d.start()
    assert x.state is State.FAILED
    assert [s.value for s, _ in d.runs(x)[0].history] == ["CREATED", "RUNNING", "PAUSED", "FAILED"]


def test_a_person_may_pause_between_tasks() -> None:
    d = Driver(flow(job("a"), job("b")))
    d.hold_jobs = True
    x = d.start()
    d.send(cmd.PauseExecution(execution_id=x.id))
    d.hold_jobs = False
    d.play()
    assert d.states(x) == {"a": "SUCCESS"}
    d.send(cmd.ResumeExecution(execution_id=x.id))
    assert x.state is State.SUCCESS
    d.check_law()


def test_sleep_takes_its_time_and_a_timeout_fails_it() -> None:
    d = Driver(flow(task("s", "core.flow.Sleep", duration="PT100S")))
    before = d.now
    assert d.start().state is State.SUCCESS
    assert d.now - before >= 100 * SECOND
    short = Driver(flow(task("s", "core.flow.Sleep", duration="PT100S", timeout="PT1S")))
    assert short.start().state is State.FAILED
    assert len([m for m in short.messages() if "Timeout" in m]) == 2


# -- subflows
CHILD = flow(
    log("x"),
    id="child",
    inputs=(Input(id="i", type="INT"),),
    outputs=(Output(id="o", value="{{ inputs.i }}", type="INT"),),
)


def test_a_subflow_gets_inputs_and_gives_outputs() -> None:
    sub = task("s", "core.flow.Subflow", namespace="n", flowId="child", inputs={"i": "7"}, wait=True)
    d = Driver(flow(sub, log("l", "{{ outputs.s.outputs.o }} {{ outputs.s.state }}")), CHILD)
    x = d.start()
    assert x.state is State.SUCCESS, d.messages()
    assert d.messages()[-1] == "7 SUCCESS"
    child = list(d.executions.values())[1]
    assert child.trigger is not None
    assert child.trigger.variables["executionId"] == x.id
    assert dict(child.labels)["system.correlationId"] == x.id
    d.check_law()


def test_a_subflow_that_fails_or_is_missing_fails_its_task() -> None:
    missing = Driver(flow(task("s", "core.flow.Subflow", namespace="n", flowId="nope")))
    assert missing.start().state is State.FAILED
    assert "Unable to find flow n.nope" in missing.messages()[-1]
    bad = Driver(flow(task("s", "core.flow.Subflow", namespace="n", flowId="child", inputs={})), CHILD)
    assert bad.start().state is State.FAILED
    calm = Driver(
        flow(task("s", "core.flow.Subflow", namespace="n", flowId="child", inputs={}, transmitFailed=False)), CHILD
    )
    assert calm.start().state is State.SUCCESS


def test_a_flow_that_calls_itself_ends() -> None:
    d = Driver(flow(task("s", "core.flow.Subflow", namespace="n", flowId="f")), subflow_depth=5)
    assert d.start().state is State.FAILED
    assert len(d.executions) == 6


def test_restarting_a_parent_restarts_its_failed_child() -> None:
    child = flow(job("x"), id="child")
    d = Driver(flow(task("s", "core.flow.Subflow", namespace="n", flowId="child")), child, work=failing(1))
    x = d.start()
    assert x.state is State.FAILED
    d.send(cmd.RestartExecution(execution_id=x.id))
    assert x.state is State.SUCCESS, d.messages()
    assert len(d.executions) == 2


def test_a_retry_of_the_task_starts_another_child() -> None:
    child = flow(job("x"), id="child")
    again = Retry(type="constant", interval=1, max_attempts=2)
    d = Driver(flow(task("s", "core.flow.Subflow", namespace="n", flowId="child", retry=again)), child, work=failing(1))
    x = d.start()
    assert x.state is State.SUCCESS, d.messages()
    children = [one for one in d.executions.values() if one is not x]
    assert [(one.state, one.restarts) for one in children] == [(State.FAILED, 0), (State.SUCCESS, 0)]


# -- concurrency
def limited(behavior: str) -> Flow:
    return flow(job("a"), concurrency=Concurrency(limit=1, behavior=ConcurrencyBehavior(behavior)))


def test_queued_executions_run_one_after_the_other() -> None:
    d = Driver(limited("QUEUE"))
    d.hold_jobs = True
    xs = [d.start() for _ in range(3)]
    assert [x.state for x in xs] == [State.RUNNING, State.QUEUED, State.QUEUED]
    d.hold_jobs = False
    d.play()
    assert [x.state for x in xs] == [State.SUCCESS] * 3
    assert [s.value for s, _ in xs[1].history] == ["CREATED", "QUEUED", "RUNNING", "SUCCESS"]
    assert not d.slots[xs[0].flow_key]
    d.check_law()


@pytest.mark.parametrize(("behavior", "state"), [("CANCEL", State.CANCELLED), ("FAIL", State.FAILED)])
def test_a_reached_limit_cancels_or_fails(behavior: str, state: State) -> None:
    d = Driver(limited(behavior))
    d.hold_jobs = True
    d.start()
    x = d.start()
    assert x.state is state
    assert not x.task_runs


def test_a_queued_execution_can_be_killed_and_leaves_the_queue() -> None:
    d = Driver(limited("QUEUE"))
    d.hold_jobs = True
    first, second, third = (d.start() for _ in range(3))
    d.send(cmd.KillExecution(execution_id=second.id))
    d.hold_jobs = False
    d.play()
    assert [x.state for x in (first, second, third)] == [State.SUCCESS, State.KILLED, State.SUCCESS]


def test_a_date_in_the_future_waits() -> None:
    d = Driver(flow(log("a")))
    due = d.now + 3600 * SECOND
    x = d.start(scheduled=due)
    assert x.state is State.SUCCESS
    assert x.history[1][1] >= due


# -- going back
def test_restart_runs_only_what_failed_and_what_follows() -> None:
    d = Driver(flow(job("a"), job("b"), log("c"), errors=(log("e"),)), work=lambda j: Done())
    answers = {"b": [Done(state=State.FAILED, error="x"), Done()]}
    d.work = lambda j: answers[j.task.id].pop(0) if j.task.id in answers else Done()
    x = d.start()
    assert d.order(x) == ["a", "b", "e"]
    preview = engine.preview(
        msgspec.convert(msgspec.to_builtins(x), type(x)),
        d.flows["n", "f"],
        cmd.RestartExecution(execution_id=x.id),
        d.now,
    )
    assert preview.state is State.RESTARTED
    assert [r.state.value for r in preview.task_runs.values()] == ["SUCCESS", "RESTARTED"]
    d.send(cmd.RestartExecution(execution_id=x.id))
    assert x.state is State.SUCCESS
    assert d.order(x) == ["a", "b", "c"]
    assert len(d.runs(x)[1].attempts) == 2
    d.check_law()


def test_restart_inside_structures_reopens_them() -> None:
    answers = {"b": [Done(state=State.FAILED, error="x"), Done()]}
    seq = task("s", "core.flow.Sequential", tasks=[job("a"), job("b"), log("c")], errors=[log("local")])
    d = Driver(flow(task("p", "core.flow.Parallel", tasks=[seq, log("q")]), log("end")))
    d.work = lambda j: answers[j.task.id].pop(0) if j.task.id in answers else Done()
    x = d.start()
    assert x.state is State.FAILED
    d.send(cmd.RestartExecution(execution_id=x.id))
    assert x.state is State.SUCCESS
    assert sorted(d.states(x)) == ["a", "b", "c", "end", "p", "q", "s"]
    d.check_law()


def test_restart_of_a_loop_goes_on_where_the_lane_stopped() -> None:
    answers = [Done(), Done(state=State.FAILED, error="x"), Done(), Done(), Done()]
    steps = [job("a"), log("l", "{{ taskrun.value }}")]
    each = task("each", "core.flow.ForEach", values=["x", "y", "z"], tasks=steps)
    d = Driver(flow(each), work=lambda j: answers.pop(0))
    x = d.start()
    assert x.state is State.FAILED
    d.send(cmd.RestartExecution(execution_id=x.id))
    assert x.state is State.SUCCESS
    assert d.messages() == ["x", "y", "z"]
    d.check_law()


def test_nothing_to_restart_is_refused() -> None:
    d = Driver(flow(log("a")))
    x = d.start()
    with pytest.raises(engine.Refused, match="No task found to restart"):
        d.send(cmd.RestartExecution(execution_id=x.id))


def test_replay_from_a_task_run_makes_a_new_execution() -> None:
    d = Driver(flow(job("a"), job("b"), job("c")))
    x = d.start()
    b = d.runs(x)[1]
    d.send(
        cmd.StartExecution(
            execution_id="R", namespace="n", flow_id="f", replay_of=x.id, replay_from=b.id, original_id=x.id
        )
    )
    y = d.executions["R"]
    assert y.state is State.SUCCESS
    assert [j.task.id for j in d.jobs] == ["a", "b", "c", "b", "c"]
    assert y.original_id == x.id
    assert not set(y.task_runs) & set(x.task_runs)
    d.check_law()


def test_a_changed_task_run_state_goes_on_from_there() -> None:
    d = Driver(flow(fail("a"), log("b")))
    x = d.start()
    d.send(cmd.ChangeTaskRunState(execution_id=x.id, task_run_id=d.runs(x)[0].id, state=State.SUCCESS))
    assert x.state is State.SUCCESS
    assert d.states(x) == {"a": "SUCCESS", "b": "SUCCESS"}
    d.check_law()


# -- the rest
def test_exit_ends_early_with_its_state() -> None:
    d = Driver(flow(log("a"), task("x", "core.execution.Exit", state="WARNING"), log("b"), finally_=(log("f"),)))
    x = d.start()
    assert x.state is State.WARNING
    assert d.order(x) == ["a", "x", "f"]
    killed = Driver(flow(task("x", "core.execution.Exit", state="KILLED"), log("b")))
    assert killed.start().state is State.KILLED


def test_labels_and_variables_change_the_execution() -> None:
    d = Driver(
        flow(
            task("l", "core.execution.Labels", labels={"k": "{{ execution.id }}"}),
            task("v", "core.execution.SetVariables", variables={"a": {"b": 1}}),
            task("w", "core.execution.SetVariables", variables={"a": {"c": 2}}),
            log("m", "{{ labels.k }} {{ vars.a.b }}{{ vars.a.c }} {{ vars.z }}"),
            variables={"z": "zz"},
        )
    )
    x = d.start()
    assert d.messages() == [f"{x.id} 12 zz"]


def test_flow_outputs_are_typed_and_a_broken_one_fails_the_execution() -> None:
    d = Driver(flow(log("a"), outputs=(Output(id="n", value="{{ 1 + 1 }}", type="INT"),)))
    assert d.start().outputs == {"n": 2}
    bad = Driver(flow(log("a"), outputs=(Output(id="n", value="{{ outputs.nope.x }}"),)))
    assert bad.start().state is State.FAILED


def test_slas_fail_cancel_or_label() -> None:
    late = Sla(id="late", type="MAX_DURATION", behavior="FAIL", duration=SECOND)
    d = Driver(flow(task("s", "core.flow.Sleep", duration="PT10S"), log("b"), sla=(late,)))
    assert d.start().state is State.FAILED
    check = Sla(
        id="c", type="EXECUTION_ASSERTION", behavior="NONE", assertion="{{ 1 == 2 }}", labels=(("sla", "broken"),)
    )
    e = Driver(flow(log("a"), sla=(check,)))
    x = e.start()
    assert x.state is State.SUCCESS
    assert dict(x.labels)["sla"] == "broken"


def test_an_output_over_the_limit_fails_with_the_remedy() -> None:
    d = Driver(flow(job("a")), work=lambda j: Done(outputs={"x": "y" * 5000}), output_limit_bytes=4000)
    x = d.start()
    assert x.state is State.FAILED
    assert "the limit is 4000" in d.messages()[-1]


def test_bad_inputs_of_a_resolved_start_are_visible() -> None:
    d = Driver(flow(log("a"), inputs=(Input(id="i", type="INT"),)))
    x = d.start(inputs={"i": "abc"})
    assert x.state is State.FAILED
    assert "Invalid input for `i`" in d.messages()[0]


def test_an_opened_secret_never_reaches_a_log_line_and_travels_sealed() -> None:
    sealed = {"type": "sealed", "value": "x"}

    def decrypt(inputs: dict[str, object]) -> dict[str, object]:
        return {k: "hunter2" if v == sealed else v for k, v in inputs.items()}

    d = Driver(flow(log("a", "the key is {{ inputs.s }}"), job("b", commands=["{{ inputs.s }}"])), decrypt=decrypt)
    d.start(inputs={"s": sealed, "t": "open"}, resolved=True)
    assert d.messages()[0] == "the key is ******"
    assert d.jobs[0].variables["inputs"] == {"s": sealed, "t": "open"}


def test_what_shall_run_on_pause_runs_while_it_waits() -> None:
    told = log("told", "please resume {{ execution.id }}")
    pause = msgspec.structs.replace(task("p", "core.flow.Pause"), branches={"onPause": (told,)})
    d = Driver(flow(pause, log("after")))
    x = d.start()
    assert x.state is State.PAUSED
    assert d.states(x) == {"p": "PAUSED", "told": "SUCCESS"}
    d.send(cmd.ResumeExecution(execution_id=x.id))
    assert x.state is State.SUCCESS
    assert d.order(x) == ["p", "told", "after"]
    d.check_law()


def test_workers_see_the_states_of_tasks_too() -> None:
    each = task("each", "core.flow.ForEach", values=["x"], tasks=[fail("a")])
    alert = job("alert", commands=["{{ tasksWithState('FAILED') }} {{ tasks.a.x.state }}"])
    d = Driver(flow(each, errors=(alert,)))
    d.start()
    assert d.jobs[0].variables["tasks"]["a"] == {"x": {"state": "FAILED"}}
