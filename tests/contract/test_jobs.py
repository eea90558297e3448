"""What every work queue promises: an attempt is handed out once, under a token, and is never lost silently."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs
from worlds import PARTITIONS, Owner, World, changed, created, execution, submitted

from levada.bus.port import COMMANDS
from levada.model import commands, routes
from levada.model.commands import TaskFinished, TaskStarted, WorkerLost
from levada.model.execution import Execution
from levada.model.jobs import Claim, Held
from levada.model.states import State


@pytest.fixture
async def owner(world: World) -> Owner:
    return await Owner(world.executions).own()


async def started(owner: Owner, *runs: str, id: str = "e1", **options: Any) -> Execution:
    made = execution(id)
    await owner.commit(created(made))
    await owner.commit(submitted(made, *runs, **options))
    return made


async def claim(
    world: World,
    limit: int = 10,
    *,
    worker: str = "w1",
    queues: tuple[str, ...] = ("default",),
    timeout_s: float = 0.0,
) -> list[Claim]:
    claims: list[Claim] = await world.jobs.claim(worker, queues, limit, timeout_s=timeout_s)
    return claims


async def on_the_bus(world: World) -> list[Any]:
    positions = dict.fromkeys(range(PARTITIONS), 0)
    records = await world.bus.poll(COMMANDS, positions, max_records=1000, max_bytes=1 << 20, timeout_s=0)
    return [commands.decode(record.body) for record in records]


def held(claim: Claim) -> Held:
    return Held(claim.job.execution_id, claim.job.task_run_id, claim.job.attempt, claim.token)


async def test_a_submitted_attempt_is_handed_out_once(world: World, owner: Owner) -> None:
    await started(owner, "a")
    (claimed,) = await claim(world)
    assert (claimed.job.execution_id, claimed.job.task_run_id, claimed.job.attempt) == ("e1", "a", 1)
    assert claimed.lease_until > world.clock.now_us()
    assert await claim(world) == []


async def test_a_claim_is_announced_to_the_executor(world: World, owner: Owner) -> None:
    await started(owner, "a")
    (claimed,) = await claim(world)
    (command,) = await on_the_bus(world)
    assert command == TaskStarted(
        execution_id="e1", task_run_id="a", attempt=1, token=claimed.token, worker="w1", at=command.at
    )


async def test_concurrent_workers_share_the_queue_without_overlap(world: World, owner: Owner) -> None:
    await started(owner, *[f"run{number}" for number in range(40)])
    other = await world.neighbour()

    async def work(jobs: Any, name: str) -> list[str]:
        found: list[str] = []
        while claims := await jobs.claim(name, ["default"], 3, timeout_s=0.2):
            found += [one.job.task_run_id for one in claims]
        return found

    taken = await asyncio.gather(*(work(w.jobs, f"w{n}") for n, w in enumerate((world, other, world, other))))
    assert sorted(run for some in taken for run in some) == sorted(f"run{number}" for number in range(40))
    assert len(await on_the_bus(world)) == 40


async def test_queues_are_apart(world: World, owner: Owner) -> None:
    await started(owner, "a", queue="gpu")
    assert await claim(world) == []
    assert len(await claim(world, queues=("default", "gpu"))) == 1


async def test_higher_priority_goes_first_then_age(world: World, owner: Owner) -> None:
    await started(owner, "old", id="e1")
    world.clock.pass_s(1)
    await started(owner, "new", id="e2")
    world.clock.pass_s(1)
    await started(owner, "urgent", id="e3", priority=5)
    order = [one.job.task_run_id for _ in range(3) for one in await claim(world, 1)]
    assert order == ["urgent", "old", "new"]


async def test_the_attempt_after_a_lost_one_keeps_its_place(world: World, owner: Owner) -> None:
    before = world.clock.now_us()
    world.clock.pass_s(1)
    await started(owner, "came", id="e1")
    world.clock.pass_s(1)
    await started(owner, "lost", id="e2", since=before)
    order = [one.job.task_run_id for _ in range(2) for one in await claim(world, 1)]
    assert order == ["lost", "came"]


async def test_a_waiting_worker_is_woken(world: World, owner: Owner) -> None:
    made = execution("e1")
    await owner.commit(created(made))
    waiting = asyncio.create_task(world.jobs.claim("w1", ["default"], 1, timeout_s=30))
    await asyncio.sleep(0.05)
    await owner.commit(submitted(made, "a"))
    world.jobs.notify()
    assert len(await asyncio.wait_for(waiting, 5)) == 1


async def test_a_worker_in_another_process_finds_the_attempt_by_itself(world: World, owner: Owner) -> None:
    made = execution("e1")
    await owner.commit(created(made))
    other = await world.neighbour()
    waiting = asyncio.create_task(other.jobs.claim("w1", ["default"], 1, timeout_s=1))
    await asyncio.sleep(0.05)
    await owner.commit(submitted(made, "a"))
    claims = await asyncio.wait_for(waiting, 5) or await claim(other)
    assert len(claims) == 1


async def test_a_renewed_lease_does_not_run_out(world: World, owner: Owner) -> None:
    await started(owner, "a")
    (claimed,) = await claim(world)
    for _ in range(4):
        world.clock.pass_s(8)
        assert await world.jobs.renew("w1", [held(claimed)]) == []
        assert await world.jobs.expire(100) == 0


async def test_a_lease_that_ran_out_is_reported_once_and_not_renewed(world: World, owner: Owner) -> None:
    await started(owner, "a", "b")
    claims = await claim(world)
    world.clock.pass_s(11)
    assert await world.jobs.expire(100) == 2
    assert await world.jobs.expire(100) == 0
    lost = {one for one in await on_the_bus(world) if isinstance(one, WorkerLost)}
    assert lost == {
        WorkerLost(execution_id="e1", task_run_id=one.job.task_run_id, attempt=1, token=one.token) for one in claims
    }
    assert await world.jobs.renew("w1", [held(one) for one in claims]) == [held(one) for one in claims]
    assert await claim(world) == []


async def test_expiring_respects_its_limit(world: World, owner: Owner) -> None:
    await started(owner, "a", "b", "c")
    await claim(world)
    world.clock.pass_s(11)
    assert [await world.jobs.expire(2), await world.jobs.expire(2), await world.jobs.expire(2)] == [2, 1, 0]


async def test_only_the_holder_of_the_token_may_renew(world: World, owner: Owner) -> None:
    await started(owner, "a")
    (claimed,) = await claim(world)
    forged = Held("e1", "a", 1, "forged")
    assert await world.jobs.renew("w1", [forged]) == [forged]
    assert await world.jobs.renew("w2", [held(claimed)]) == [held(claimed)]
    assert await world.jobs.renew("w1", [held(claimed)]) == []


async def test_a_withdrawn_attempt_that_nobody_has_is_gone(world: World, owner: Owner) -> None:
    made = await started(owner, "a")
    made.task_runs["a"].state = State.KILLED
    await owner.commit(changed(made, "a", withdrawn=("a",)))
    assert await claim(world) == []


async def test_a_withdrawn_attempt_that_runs_is_told_to_stop_once(world: World, owner: Owner) -> None:
    made = await started(owner, "a")
    (claimed,) = await claim(world)
    assert await world.jobs.cancelled("w1", timeout_s=0) == []
    made.task_runs["a"].state = State.KILLING
    await owner.commit(changed(made, "a", withdrawn=("a",)))
    assert await world.jobs.cancelled("w2", timeout_s=0) == []
    assert await world.jobs.cancelled("w1", timeout_s=0) == [held(claimed)]
    assert await world.jobs.cancelled("w1", timeout_s=0) == []
    assert await world.jobs.renew("w1", [held(claimed)]) == [held(claimed)]


async def test_a_cancelled_attempt_whose_worker_is_lost_too_ends_by_its_lease(world: World, owner: Owner) -> None:
    made = await started(owner, "a")
    await claim(world)
    made.task_runs["a"].state = State.KILLING
    await owner.commit(changed(made, "a", withdrawn=("a",)))
    world.clock.pass_s(11)
    assert await world.jobs.expire(10) == 1


async def test_an_ended_attempt_has_no_lease_left(world: World, owner: Owner) -> None:
    made = await started(owner, "a")
    (claimed,) = await claim(world)
    made.task_runs["a"].state = State.SUCCESS
    await owner.commit(changed(made, "a"))
    assert await world.jobs.renew("w1", [held(claimed)]) == [held(claimed)]
    world.clock.pass_s(11)
    assert await world.jobs.expire(10) == 0


async def test_a_started_attempt_keeps_its_lease(world: World, owner: Owner) -> None:
    made = await started(owner, "a")
    (claimed,) = await claim(world)
    made.task_runs["a"].state = State.RUNNING
    await owner.commit(changed(made, "a"))
    assert await world.jobs.renew("w1", [held(claimed)]) == []


async def test_a_new_attempt_replaces_the_lease_of_the_old_one(world: World, owner: Owner) -> None:
    made = await started(owner, "a")
    (first,) = await claim(world)
    write = submitted(made, "a")
    write.submitted = [type(first.job)(**{**_fields(first.job), "attempt": 2})]
    await owner.commit(write)
    (second,) = await claim(world, worker="w2")
    assert (second.job.attempt, second.token != first.token) == (2, True)
    assert await world.jobs.renew("w1", [held(first)]) == [held(first)]
    assert await world.jobs.renew("w2", [held(second)]) == []


async def test_results_reach_the_executor_in_order(world: World, owner: Owner) -> None:
    await started(owner, "a")
    (claimed,) = await claim(world)
    result = TaskFinished(
        execution_id="e1", task_run_id="a", attempt=1, token=claimed.token, state=State.SUCCESS, at=1, outputs={"x": 1}
    )
    await world.jobs.report([result])
    assert [type(one).__name__ for one in await on_the_bus(world)] == ["TaskStarted", "TaskFinished"]
    assert (await on_the_bus(world))[1] == result


async def test_values_of_expressions_end_the_lease(world: World, owner: Owner) -> None:
    await started(owner, "a")
    (claimed,) = await claim(world)
    answer = TaskFinished(
        execution_id="e1", task_run_id="a", attempt=1, token=claimed.token, state=State.SUCCESS, at=1, values={"v": 1}
    )
    await world.jobs.report([answer])
    world.clock.pass_s(11)
    assert await world.jobs.expire(10) == 0


async def test_a_task_run_that_is_gone_takes_its_attempt_along(world: World, owner: Owner) -> None:
    made = await started(owner, "a")
    del made.task_runs["a"]
    await owner.commit(changed(made, "a"))
    assert await claim(world) == []


def _fields(job: Any) -> dict[str, Any]:
    return {name: getattr(job, name) for name in job.__struct_fields__}


async def test_tags_are_asked_of_workers_that_carry_them(world: World, owner: Owner) -> None:
    made = execution("e1")
    await owner.commit(created(made))
    wanted = {
        "plain": "default",
        "both": routes.route("default", ["ssd", "linux"]),
        "either": routes.route("default", ["linux", "mac"], match="ANY"),
        "elsewhere": routes.route("gpu", ["linux"]),
    }
    for id, route in wanted.items():
        await owner.commit(submitted(made, id, queue=route))

    async def taken(*tags: str, queues: tuple[str, ...] = ("default",)) -> set[str]:
        claims = await world.jobs.claim("w1", queues, 10, timeout_s=0, tags=tags)
        return {one.job.task_run_id for one in claims}

    assert await taken() == {"plain"}
    assert await taken("ssd") == set()
    assert await taken("mac", "windows") == {"either"}
    assert await taken("linux", "ssd", "fast") == {"both"}
    assert await taken("linux", queues=("default", "gpu")) == {"elsewhere"}


async def test_workers_that_wait_share_what_comes_by_their_free_slots(world: World, owner: Owner) -> None:
    made = execution("e1")
    await owner.commit(created(made))
    free = {"busy": 1, "idle": 4, "half": 2}
    waiting = [asyncio.create_task(claim(world, limit, worker=name, timeout_s=5)) for name, limit in free.items()]
    await asyncio.sleep(0.05)
    await owner.commit(submitted(made, *[f"run{number}" for number in range(20)]))
    world.jobs.notify()
    got = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert all(len(claims) <= limit for claims, limit in zip(got, free.values(), strict=True))
    assert all(got)
    rest = await claim(world, 100)
    taken = [one.job.task_run_id for one in [*rest, *(one for some in got for one in some)]]
    assert sorted(taken) == sorted(f"run{number}" for number in range(20))


async def test_a_worker_that_stops_waiting_takes_nothing_along(world: World, owner: Owner) -> None:
    made = execution("e1")
    await owner.commit(created(made))
    for _ in range(5):
        waiting = asyncio.create_task(claim(world, timeout_s=30))
        await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0.3)  # a gateway looks a few times a second who is still there
    await owner.commit(submitted(made, "a"))
    world.jobs.notify()
    assert len(await claim(world, worker="w2", timeout_s=5)) == 1


async def test_what_a_claim_is_worth_follows_its_lease(world: World, owner: Owner) -> None:
    made = await started(owner, "a", "b")
    claims = {one.job.task_run_id: one for one in await claim(world)}
    a, b = held(claims["a"]), held(claims["b"])
    forged = Held("e1", "a", 1, "forged")
    first, second, third = await world.jobs.grants([a, b, forged])
    assert (first.tenant, first.namespace, first.flow_id) == ("main", "company.team", "hello")
    assert [first.lease, second.lease, third] == ["claimed", "claimed", None]
    made.task_runs["a"].state = State.KILLING
    await owner.commit(changed(made, "a", withdrawn=("a",)))
    made.task_runs["b"].state = State.SUCCESS
    await owner.commit(changed(made, "b"))
    first, second = await world.jobs.grants([a, b])
    assert first.lease == "cancel"
    assert second is None or second.lease is None


async def stranded(owner: Owner, id: str, fallback: str | None, queue: str = "gpu") -> None:
    made = execution(id)
    await owner.commit(created(made))
    write = submitted(made, "a", queue=queue)
    write.submitted = [structs.replace(one, if_no_worker=fallback) for one in write.submitted]
    await owner.commit(write)


async def test_what_waits_and_says_what_to_do_without_a_worker_is_found(world: World, owner: Owner) -> None:
    await stranded(owner, "e1", "FAIL")
    await stranded(owner, "e2", None)
    await stranded(owner, "e3", "IGNORE", queue="cpu")
    assert await world.jobs.routes() == ["cpu", "gpu"]
    assert await world.jobs.stranded("gpu", 60_000_000, 10) == []  # not for so long
    world.clock.pass_s(60)
    (found,) = await world.jobs.stranded("gpu", 50_000_000, 10)
    assert (found.execution_id, found.if_no_worker) == ("e1", "FAIL")


async def test_an_attempt_that_is_refused_fails_and_is_nobodys(world: World, owner: Owner) -> None:
    await stranded(owner, "e1", "FAIL")
    await stranded(owner, "e2", "FAIL")
    world.clock.pass_s(60)
    waiting = await world.jobs.stranded("gpu", 1, 10)
    (taken,) = await world.jobs.claim("w1", ["gpu"], 1, timeout_s=0.0)  # a worker that came in between wins
    refused = await world.jobs.refuse(waiting, "nobody", "no worker")
    assert [one.execution_id for one in refused] == ["e2" if taken.job.execution_id == "e1" else "e1"]
    assert await world.jobs.refuse(waiting, "nobody", "no worker") == []
    assert await claim(world, queues=("gpu",)) == []
    said = [one for one in await on_the_bus(world) if one.execution_id == refused[0].execution_id]
    begun, ended = said
    assert (begun.worker, ended.state, ended.error) == ("nobody", State.FAILED, "no worker")
    assert begun.token == ended.token


async def test_an_attempt_may_be_let_to_other_workers(world: World, owner: Owner) -> None:
    await stranded(owner, "e1", "IGNORE")
    world.clock.pass_s(60)
    waiting = await world.jobs.stranded("gpu", 1, 10)
    assert [one.execution_id for one in await world.jobs.reroute(waiting, "default")] == ["e1"]
    (taken,) = await claim(world)
    assert taken.job.execution_id == "e1"
    assert await world.jobs.reroute(waiting, "gpu") == []
