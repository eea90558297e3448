"""The state machine under random flows, answers, losses and repeats.

What must hold whatever happens: every execution ends, its end state is final, folding its events gives its state, every
submitted attempt has its own number, and a command that comes twice or late changes nothing twice.
"""

import random

import msgspec
from driver import Done, Driver, flow, task
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levada.model import commands as cmd
from levada.model.errors import UserError
from levada.model.flow import Retry, Task
from levada.model.jobs import Job
from levada.model.states import EXECUTION_TRANSITIONS, TASK_RUN_TRANSITIONS, State

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Names:
    def __init__(self) -> None:
        self.n = 0

    def next(self, prefix: str) -> str:
        self.n += 1
        return f"{prefix}{self.n}"


@st.composite
def leaves(draw: st.DrawFn, names: Names) -> Task:
    kind = draw(st.sampled_from(["log", "job", "job", "fail", "sleep", "wd"]))
    more: dict[str, object] = {}
    if draw(st.integers(0, 5)) == 0:
        more["retry"] = Retry(
            type="constant", interval=draw(st.integers(1, 10**7)), max_attempts=draw(st.integers(1, 3))
        )
    if draw(st.integers(0, 6)) == 0:
        more["allow_failure"] = True
    if draw(st.integers(0, 8)) == 0:
        more["run_if"] = draw(st.sampled_from(["false", "true", "{{ nope }}"]))
    if draw(st.integers(0, 8)) == 0:
        more["disabled"] = True
    id_ = names.next(kind)
    match kind:
        case "log":
            return task(id_, "core.log.Log", message="m", **more)
        case "fail":
            return task(id_, "core.execution.Fail", condition=draw(st.sampled_from(["true", "false"])), **more)
        case "wd":
            inside = task(f"{id_}-inside", "scripts.shell.Commands")
            return task(id_, "core.flow.WorkingDirectory", tasks=[inside], **more)
        case "sleep":
            return task(id_, "core.flow.Sleep", duration="PT5S", **more)
        case _:
            return task(id_, "scripts.shell.Commands", on_worker_lost=draw(st.sampled_from(["retry", "fail"])), **more)


@st.composite
def tasks(draw: st.DrawFn, names: Names, depth: int) -> Task:
    kinds = ["leaf", "leaf", "leaf"]
    if depth > 0:
        kinds += ["seq", "par", "each", "if", "allow", "dag", "until"]
    kind = draw(st.sampled_from(kinds))
    if kind == "leaf":
        return draw(leaves(names))
    children = [draw(tasks(names, depth - 1)) for _ in range(draw(st.integers(1, 3)))]
    more: dict[str, object] = {}
    if draw(st.integers(0, 3)) == 0:
        more["errors"] = [draw(leaves(names))]
    if draw(st.integers(0, 3)) == 0:
        more["finally_"] = [draw(leaves(names))]
    id_ = names.next(kind)
    match kind:
        case "seq":
            return task(id_, "core.flow.Sequential", tasks=children, **more)
        case "par":
            return task(id_, "core.flow.Parallel", tasks=children, concurrent=draw(st.integers(0, 2)), **more)
        case "each":
            values = list(range(draw(st.integers(0, 3))))
            limit = draw(st.integers(0, 2))
            return task(id_, "core.flow.ForEach", values=values, concurrencyLimit=limit, tasks=children, **more)
        case "if":
            return task(id_, "core.flow.If", condition=draw(st.sampled_from(["true", "false"])), then=children, **more)
        case "allow":
            return task(id_, "core.flow.AllowFailure", tasks=children, **more)
        case "dag":
            needs = {children[-1].id: tuple(c.id for c in children[:-1])}
            return task(id_, "core.flow.Dag", tasks=children, depends_on=needs, **more)
        case _:
            frequency = {"interval": "PT1S", "maxIterations": draw(st.integers(1, 2))}
            return task(id_, "core.flow.LoopUntil", condition="false", checkFrequency=frequency, tasks=children, **more)


@st.composite
def flows(draw: st.DrawFn) -> object:
    names = Names()
    body = [draw(tasks(names, 2)) for _ in range(draw(st.integers(1, 4)))]
    more: dict[str, object] = {}
    if draw(st.booleans()):
        more["errors"] = (draw(leaves(names)),)
    if draw(st.booleans()):
        more["finally_"] = (draw(leaves(names)),)
    if draw(st.integers(0, 3)) == 0:
        more["after_execution"] = (draw(leaves(names)),)
    return flow(*body, **more)


def unreliable(seed: int) -> object:
    chance = random.Random(seed)

    def work(job: Job) -> Done:
        x = chance.random()
        if x < 0.12:
            return Done(lost=job.attempt < 5)
        if x < 0.3:
            return Done(state=State.FAILED, error="boom")
        if x < 0.35:
            return Done(state=State.WARNING)
        if x < 0.4:
            return Done(released=job.attempt < 5)
        return Done(outputs={"n": 1})

    return work


def check(d: Driver) -> None:
    for x in d.executions.values():
        assert x.state.is_terminal, f"{x.state}: {d.states(x)}"
        assert all(run.state.is_terminal for run in x.task_runs.values()), d.states(x)
        for one, other in zip(x.history, x.history[1:], strict=False):
            assert other[0] in EXECUTION_TRANSITIONS[one[0]]
        for run in x.task_runs.values():
            for one, other in zip(run.history, run.history[1:], strict=False):
                assert other[0] in TASK_RUN_TRANSITIONS[one[0]]
            numbers = [attempt.number for attempt in run.attempts]
            assert numbers == sorted(set(numbers)), "an attempt number was used twice"
    keys = [(job.task_run_id, job.attempt) for job in d.jobs]
    assert len(keys) == len(set(keys)), "an attempt was submitted twice"
    d.check_law()


@SETTINGS
@given(flows(), st.integers(0, 2**32))
def test_every_execution_ends_and_folds(f: object, seed: int) -> None:
    d = Driver(f, work=unreliable(seed), turn_budget=7)
    d.start()
    check(d)


@SETTINGS
@given(flows(), st.integers(0, 2**32), st.integers(0, 30))
def test_a_kill_at_any_moment_ends_everything(f: object, seed: int, after: int) -> None:
    d = Driver(f, work=unreliable(seed))
    d.hold_jobs = True
    d.queue.append(cmd.StartExecution(execution_id="X", namespace="n", flow_id="f"))
    d.play(timers=False)
    for _ in range(after):
        if not d.waiting_jobs:
            break
        d._answer(d.waiting_jobs.popleft())
        d.play(timers=False)
    d.queue.append(cmd.KillExecution(execution_id="X"))
    d.play()
    d.hold_jobs = False
    d.play()
    check(d)


@SETTINGS
@given(flows(), st.integers(0, 2**32))
def test_repeated_commands_change_nothing(f: object, seed: int) -> None:
    """Everything is delivered twice, the second time out of order."""
    chance = random.Random(seed)
    d = Driver(f, work=unreliable(seed))
    seen: list[cmd.Command] = []
    original = d._decide

    def twice(command: cmd.Command) -> None:
        original(command)
        seen.append(command)
        for late in chance.sample(seen, min(len(seen), 2)):
            if isinstance(late, cmd.ContinueExecution):
                continue
            before = [len(events) for events in d.events.values()]
            try:
                original(late)
            except UserError:
                continue
            after = [len(events) for events in d.events.values()]
            assert before == after, f"{type(late).__name__} changed something the second time"

    d._decide = twice  # type: ignore[method-assign]
    d.start()
    check(d)


@SETTINGS
@given(flows(), st.integers(0, 2**32))
def test_a_restart_of_a_failure_ends_again(f: object, seed: int) -> None:
    d = Driver(f, work=unreliable(seed))
    x = d.start()
    for _ in range(2):
        if x.state is not State.FAILED:
            break
        d.send(cmd.RestartExecution(execution_id=x.id))
        check(d)


@SETTINGS
@given(flows(), st.integers(0, 2**32), st.data())
def test_a_replay_from_anywhere_ends(f: object, seed: int, data: st.DataObject) -> None:
    d = Driver(f, work=unreliable(seed))
    x = d.start()
    candidates = [run.id for run in x.task_runs.values() if run.branch not in ("errors", "finally", "after")]
    if not candidates:
        return
    from_ = data.draw(st.sampled_from(candidates))
    before = msgspec.json.encode(x)
    d.send(cmd.StartExecution(execution_id="R", namespace="n", flow_id="f", replay_of=x.id, replay_from=from_))
    check(d)
    assert msgspec.json.encode(x) == before, "the replayed execution changed"
