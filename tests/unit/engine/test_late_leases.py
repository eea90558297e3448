"""Leases that run out after the attempt under them has answered: the queue may notice late, the engine must not act on it."""

from __future__ import annotations

import pytest
from driver import Done, Driver, flow, task

from levada.model import commands as cmd
from levada.model.jobs import Job, JobKind
from levada.model.states import State


def job(id: str, **more: object) -> object:
    return task(id, "scripts.shell.Commands", **more)


def log(id: str) -> object:
    return task(id, "core.log.Log", message="hi")


def lost(d: Driver, job_: Job) -> None:
    d.send(
        cmd.WorkerLost(
            execution_id=job_.execution_id,
            task_run_id=job_.task_run_id,
            attempt=job_.attempt,
            token=f"token-{job_.task_run_id}-{job_.attempt}",
        )
    )


def test_values_of_a_container_are_not_asked_for_again_and_its_children_go_on() -> None:
    def work(job_: Job) -> Done:
        return Done(values={"values": ["x", "y"]}) if job_.kind is JobKind.EVALUATE else Done()

    d = Driver(flow(task("each", "core.flow.ForEach", values="{{ kv('list') }}", tasks=[job("a")])), work=work)
    d.hold_jobs = True
    x = d.start()
    evaluation = d.waiting_jobs.popleft()
    assert evaluation.kind is JobKind.EVALUATE
    d._answer(evaluation)
    d.play()
    before = len(d.events[x.id])
    for _ in range(2):
        lost(d, evaluation)
    assert len(d.events[x.id]) == before
    d.hold_jobs = False
    d.play()
    assert x.state is State.SUCCESS
    assert [one.kind for one in d.jobs] == [JobKind.EVALUATE, JobKind.RUN, JobKind.RUN]
    d.check_law()


def test_values_of_a_task_are_not_asked_for_again() -> None:
    def work(job_: Job) -> Done:
        return Done(values={"runIf": True}) if job_.kind is JobKind.EVALUATE else Done()

    d = Driver(flow(job("a", run_if="{{ kv('go') }}")), work=work)
    d.hold_jobs = True
    x = d.start()
    evaluation = d.waiting_jobs.popleft()
    assert evaluation.kind is JobKind.EVALUATE
    d._answer(evaluation)
    d.play()
    run = d.runs(x)[0]
    attempt = run.attempt
    lost(d, evaluation)
    assert (run.attempt, run.state) == (attempt, State.SUBMITTED)
    d.hold_jobs = False
    d.play()
    assert x.state is State.SUCCESS
    d.check_law()


@pytest.mark.parametrize("token", ["other", None])
def test_a_lease_of_another_claim_of_the_attempt_is_not_this_ones(token: str | None) -> None:
    d = Driver(flow(job("a"), log("b")))
    d.hold_jobs = True
    x = d.start()
    run = d.runs(x)[0]
    key = {"execution_id": x.id, "task_run_id": run.id}
    d.send(cmd.TaskStarted(**key, attempt=1, token="t1", worker="w", at=d.now))
    d.send(cmd.WorkerLost(**key, attempt=1, token=token))
    assert (run.attempt, run.state) == (1, State.RUNNING)


def test_the_attempt_after_a_lost_one_waits_since_the_lost_one_was_submitted() -> None:
    d = Driver(flow(job("a")))
    d.hold_jobs = True
    submitted = d.now
    d.start()
    first = d.waiting_jobs.popleft()
    assert first.since is None
    d.now += 30_000_000
    lost(d, first)
    second = d.waiting_jobs.popleft()
    assert (second.attempt, second.since) == (2, submitted)
