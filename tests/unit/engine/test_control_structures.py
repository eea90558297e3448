"""Sequential, Parallel, Dag, If, Switch, loops, AllowFailure: who runs, in which order, and how it ends."""

import pytest
from driver import Done, Driver, flow, task

from levada.model.jobs import Job
from levada.model.states import State


def log(id: str, message: str = "hi", **more: object) -> object:
    return task(id, "core.log.Log", message=message, **more)


def fail(id: str, **more: object) -> object:
    return task(id, "core.execution.Fail", **more)


def value(id: str, text: str) -> object:
    return task(id, "core.debug.Return", format=text)


def test_tasks_run_in_order_and_the_execution_succeeds() -> None:
    d = Driver(flow(log("a"), task("b", "scripts.shell.Commands", commands=["true"]), log("c")))
    x = d.start()
    assert x.state is State.SUCCESS
    assert d.order(x) == ["a", "b", "c"]
    assert [s.value for s, _ in x.history] == ["CREATED", "RUNNING", "SUCCESS"]
    assert [s.value for s, _ in d.runs(x)[1].history] == ["CREATED", "SUBMITTED", "RUNNING", "SUCCESS"]
    d.check_law()


def test_a_failed_task_stops_the_sequence() -> None:
    d = Driver(flow(log("a"), fail("b"), log("c")))
    x = d.start()
    assert x.state is State.FAILED
    assert d.states(x) == {"a": "SUCCESS", "b": "FAILED"}


def test_errors_run_after_a_failure_and_finally_always() -> None:
    d = Driver(flow(fail("a"), errors=(log("e"),), finally_=(log("f"),)))
    x = d.start()
    assert x.state is State.FAILED
    assert d.order(x) == ["a", "e", "f"]
    ok = Driver(flow(log("a"), errors=(log("e"),), finally_=(log("f"),)))
    assert ok.order(ok.start()) == ["a", "f"]
    d.check_law()


def test_after_execution_sees_the_final_state_and_does_not_change_it() -> None:
    d = Driver(flow(log("a"), after_execution=(log("z", "ended {{ execution.state }}"), fail("y"))))
    x = d.start()
    assert x.state is State.SUCCESS
    assert "ended SUCCESS" in d.messages()
    assert d.states(x)["y"] == "FAILED"
    d.check_law()


def test_local_errors_of_a_flowable_run_before_the_failure_climbs() -> None:
    seq = task("s", "core.flow.Sequential", tasks=[fail("a"), log("b")], errors=[log("local")])
    d = Driver(flow(seq, log("c"), errors=(log("global"),)))
    x = d.start()
    assert d.order(x) == ["s", "a", "local", "global"]
    assert x.state is State.FAILED


def test_parallel_runs_all_children_even_if_one_fails() -> None:
    par = task("p", "core.flow.Parallel", tasks=[log("a"), fail("b"), log("c")])
    d = Driver(flow(par, log("d")))
    x = d.start()
    assert d.states(x) == {"p": "FAILED", "a": "SUCCESS", "b": "FAILED", "c": "SUCCESS"}


def test_parallel_keeps_its_limit() -> None:
    jobs = [task(f"j{n}", "scripts.shell.Commands") for n in range(5)]
    d = Driver(flow(task("p", "core.flow.Parallel", tasks=jobs, concurrent=2)))
    d.hold_jobs = True
    x = d.start()
    assert len(d.waiting_jobs) == 2
    d.hold_jobs = False
    d.play()
    assert x.state is State.SUCCESS
    assert len(d.runs(x)) == 6


def test_dag_starts_a_child_when_its_dependencies_ended_well() -> None:
    children = [log("c"), log("a"), log("b"), log("d")]
    needs = {"c": ("a", "b"), "d": ("c",), "b": ("a",)}
    d = Driver(flow(task("dag", "core.flow.Dag", tasks=children, depends_on=needs)))
    x = d.start()
    assert d.order(x) == ["dag", "a", "b", "c", "d"]
    d.check_law()


def test_dag_does_not_start_what_depends_on_a_failure() -> None:
    children = [fail("a"), log("b"), log("c")]
    d = Driver(flow(task("dag", "core.flow.Dag", tasks=children, depends_on={"b": ("a",)})))
    x = d.start()
    assert d.states(x) == {"dag": "FAILED", "a": "FAILED", "c": "SUCCESS"}


@pytest.mark.parametrize(
    ("condition", "ran"), [("true", "t"), ("{{ 1 == 2 }}", "e"), ("0", "e"), ("-0", "e"), ("", "e")]
)
def test_if_takes_a_branch(condition: str, ran: str) -> None:
    d = Driver(flow(task("i", "core.flow.If", condition=condition, then=[log("t")], else_=[log("e")])))
    x = d.start()
    assert d.order(x) == ["i", ran]
    assert d.runs(x)[0].outputs == {"evaluationResult": ran == "t"}


def test_switch_takes_the_case_or_the_defaults() -> None:
    switch = task("s", "core.flow.Switch", value="{{ inputs.x }}", cases={"A": [log("a")]}, defaults=[log("z")])
    d = Driver(flow(switch))
    x = d.start(inputs={"x": "A"}, resolved=True)
    assert d.order(x) == ["s", "a"]
    y = d.start(inputs={"x": "B"}, resolved=True)
    assert d.order(y) == ["s", "z"]


def test_for_each_runs_in_order_and_keys_outputs_by_value() -> None:
    each = task(
        "each",
        "core.flow.ForEach",
        values=["x", "y"],
        tasks=[value("v", "{{ taskrun.value }}-{{ taskrun.iteration }}"), log("l", "{{ outputs.v.value }}")],
    )
    d = Driver(flow(each, log("end", "{{ outputs.v.x.value }} {{ outputs.v['y'].value }}")))
    x = d.start()
    assert x.state is State.SUCCESS, d.messages()
    assert d.order(x) == ["each", "v", "l", "v", "l", "end"]
    assert d.messages()[-1] == "x-0 y-1"
    assert "x-0" in d.messages()
    d.check_law()


def test_for_each_side_by_side_keeps_its_limit_and_its_lanes() -> None:
    steps = [task("a", "scripts.shell.Commands"), task("b", "scripts.shell.Commands")]
    each = task("each", "core.flow.ForEach", values=list(range(5)), concurrencyLimit=2, tasks=steps)
    d = Driver(flow(each))
    d.hold_jobs = True
    d.start()
    assert [job.iteration for job in d.waiting_jobs] == [0, 1]
    d.hold_jobs = False
    d.play()
    (x,) = d.executions.values()
    assert x.state is State.SUCCESS
    assert len(d.runs(x)) == 11
    lanes = [(run.iteration, run.task_id) for run in d.runs(x)[1:]]
    assert sorted(lanes) == [(n, s) for n in range(5) for s in ("a", "b")]


def test_a_large_loop_spreads_over_turns_and_keeps_the_law() -> None:
    each = task("each", "core.flow.ForEach", values=list(range(700)), concurrencyLimit=0, tasks=[log("a")])
    d = Driver(flow(each), turn_budget=100)
    x = d.start()
    assert x.state is State.SUCCESS
    assert len(x.task_runs) == 701
    assert d.decisions >= 7
    d.check_law()


def test_a_sequential_loop_of_inline_tasks_does_not_recurse() -> None:
    each = task("each", "core.flow.ForEach", values=list(range(3000)), tasks=[log("a")])
    d = Driver(flow(each))
    x = d.start()
    assert x.state is State.SUCCESS
    assert len(x.task_runs) == 3001


def test_for_each_over_nothing_succeeds() -> None:
    d = Driver(flow(task("each", "core.flow.ForEach", values="[]", tasks=[log("a")]), log("b")))
    x = d.start()
    assert d.order(x) == ["each", "b"]


def test_for_each_stops_at_the_first_failure_when_sequential() -> None:
    each = task("each", "core.flow.ForEach", values=["a", "b"], tasks=[fail("x")])
    d = Driver(flow(each))
    x = d.start()
    assert x.state is State.FAILED
    assert len(x.task_runs) == 2


def test_nested_loops_see_their_parents() -> None:
    inner = task(
        "in", "core.flow.ForEach", values=[1, 2], tasks=[log("l", "{{ parent.taskrun.value }}{{ taskrun.value }}")]
    )
    d = Driver(flow(task("out", "core.flow.ForEach", values=["a", "b"], tasks=[inner])))
    x = d.start()
    assert x.state is State.SUCCESS, d.messages()
    assert d.messages() == ["a1", "a2", "b1", "b2"]


def test_loop_gives_items_and_collects_outputs() -> None:
    loop = task(
        "loop",
        "core.flow.Loop",
        values=["x", "y"],
        tasks=[value("v", "{{ item.value }}{{ item.index }}")],
        outputs=[{"id": "o", "type": "STRING", "value": "{{ outputs.v.value }}"}],
    )
    d = Driver(flow(loop))
    x = d.start()
    outputs = d.runs(x)[0].outputs
    assert outputs is not None
    assert outputs["iterationCount"] == 2
    assert [entry["outputs"]["o"] for entry in outputs["outputs"]] == ["x0", "y1"]


def test_loop_until_repeats_with_an_interval_until_the_condition_holds() -> None:
    loop = task(
        "loop",
        "core.flow.LoopUntil",
        condition="{{ outputs.v.value == '3' }}",
        checkFrequency={"interval": "PT5S"},
        tasks=[value("v", "{{ outputs.loop.iterationCount + 1 }}")],
    )
    d = Driver(flow(loop))
    before = d.now
    x = d.start()
    assert x.state is State.SUCCESS, d.messages()
    assert d.runs(x)[0].outputs == {"iterationCount": 3}
    assert d.now - before >= 10_000_000
    d.check_law()


def test_loop_until_stops_at_its_ceiling() -> None:
    loop = task(
        "loop",
        "core.flow.LoopUntil",
        condition="false",
        checkFrequency={"interval": "PT1S", "maxIterations": 4},
        tasks=[log("l")],
    )
    d = Driver(flow(loop))
    assert d.start().state is State.SUCCESS
    strict = Driver(
        flow(
            task(
                "l",
                "core.flow.LoopUntil",
                condition="false",
                failOnMaxReached=True,
                checkFrequency={"interval": "PT1S", "maxIterations": 1},
                tasks=[log("x")],
            )
        )
    )
    assert strict.start().state is State.FAILED


def test_allow_failure_turns_failures_into_warnings() -> None:
    allow = task("allow", "core.flow.AllowFailure", tasks=[fail("a"), log("b")])
    d = Driver(flow(allow, log("c")))
    x = d.start()
    assert d.states(x) == {"allow": "WARNING", "a": "FAILED", "c": "SUCCESS"}
    assert x.state is State.WARNING
    one = Driver(flow(fail("a", allow_failure=True), log("b")))
    y = one.start()
    assert one.states(y) == {"a": "WARNING", "b": "SUCCESS"}
    both = Driver(flow(fail("a", allow_failure=True, allow_warning=True)))
    assert both.start().state is State.SUCCESS


def test_run_if_skips_and_a_broken_run_if_fails() -> None:
    d = Driver(flow(log("a", run_if="false"), log("b", run_if="{{ outputs.nope.x }}"), log("c")))
    x = d.start()
    assert d.states(x) == {"a": "SKIPPED", "b": "FAILED"}
    assert x.state is State.FAILED


def test_disabled_tasks_leave_no_trace() -> None:
    d = Driver(flow(log("a", disabled=True), task("s", "core.flow.Sequential", tasks=[log("b", disabled=True)])))
    x = d.start()
    assert d.order(x) == ["s"]
    assert x.state is State.SUCCESS


def test_a_condition_that_does_not_render_fails_the_structure_with_its_reason() -> None:
    d = Driver(flow(task("i", "core.flow.If", condition="{{ nope }}", then=[log("t")]), errors=(log("e"),)))
    x = d.start()
    assert d.order(x) == ["i", "e"]
    assert any("nope" in message for message in d.messages())


def test_a_working_directory_is_one_job_and_shows_its_children() -> None:
    from levada.model.commands import ChildTask

    def work(job: Job) -> Done:
        child = ChildTask(key="one", task_id="one", state=State.SUCCESS, history=[(State.SUCCESS, 1)], outputs={"x": 1})
        return Done(children=[child])

    wd = task("wd", "core.flow.WorkingDirectory", tasks=[task("one", "scripts.shell.Commands")])
    d = Driver(flow(wd, log("l", "{{ outputs.one.x }}")), work=work)
    x = d.start()
    assert x.state is State.SUCCESS, d.messages()
    assert d.messages()[-1] == "1"
    d.check_law()


def test_a_loop_until_inside_a_for_each_keeps_its_lane() -> None:
    until = task(
        "u",
        "core.flow.LoopUntil",
        condition="false",
        checkFrequency={"interval": "PT1S", "maxIterations": 3},
        tasks=[log("l", "{{ taskrun.iteration }}")],
    )
    each = task("e", "core.flow.ForEach", values=["x", "y"], tasks=[until, log("after", "{{ taskrun.value }}")])
    d = Driver(flow(each))
    x = d.start()
    assert x.state is State.SUCCESS, d.messages()
    assert d.messages() == ["0", "1", "2", "x", "0", "1", "2", "y"]
    d.check_law()
