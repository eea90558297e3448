"""Why an execution does not move: every cause has its words."""

from typing import Any

import pytest

from levada.model.execution import Execution, TaskRun
from levada.model.states import State
from levada.runtime.why import Facts, causes
from levada.store.members import Member
from levada.store.operations import AcceptedFact, LeaseFact, ParkedLetter, SlotFact, TimerFact

NOW = 1_700_000_000_000_000
MINUTE = 60_000_000


def execution(state: State = State.RUNNING, *runs: TaskRun, **fields: Any) -> Execution:
    return Execution(
        id="E",
        namespace="n",
        flow_id="f",
        flow_revision=1,
        state=state,
        history=[(State.CREATED, NOW - MINUTE), (state, NOW - MINUTE)],
        created=NOW - MINUTE,
        task_runs={run.id: run for run in runs},
        **fields,
    )


def run(id: str = "t", state: State = State.SUBMITTED, **fields: Any) -> TaskRun:
    return TaskRun(id=id, task_id=id, state=state, history=[(state, NOW - MINUTE)], attempt=1, **fields)


def lease(state: str, *, queue: str = "default", until: int | None = None, worker: str | None = "w1") -> LeaseFact:
    return LeaseFact("t", state, queue, 1, NOW - MINUTE, worker, until)


def worker(name: str = "w1", *, live: bool = True, **info: Any) -> Member:
    said = {"queues": ["default"], "tags": [], "slots": 8, "running": 0, **info}
    return Member(service="worker", name=name, started=NOW, lease_until=NOW, live=live, info=said)


def facts(found: Execution | None, **more: Any) -> Facts:
    return Facts(execution_id="E", now=NOW, execution=found, **{"partition": 3, "owner": "exec-1", "lag": 0, **more})


def first(found: Execution | None, **more: Any) -> tuple[str, str]:
    cause = causes(facts(found, **more))[0]
    return cause.code, cause.message


def test_an_execution_that_ended_says_how() -> None:
    assert first(execution(State.FAILED, error="boom")) == ("ENDED", "it ended FAILED: boom")


def test_nobody_owns_the_partition() -> None:
    code, message = first(execution(), owner=None)
    assert code == "NO_EXECUTOR"
    assert "partition 3" in message


@pytest.mark.parametrize(("lag", "code"), [(0, "ON_ITS_WAY"), (7, "LAG")])
def test_a_start_that_is_accepted_and_not_applied(lag: int, code: str) -> None:
    assert first(None, lag=lag, accepted=[AcceptedFact("a", 3, NOW - MINUTE)])[0] == code


def test_an_executor_that_is_far_behind() -> None:
    assert first(execution(), lag=5000)[0] == "LAG"
    assert first(execution(), lag=5)[0] == "WORKING"


def test_a_dead_letter_comes_first() -> None:
    letter = ParkedLetter(
        topic="commands", partition=0, offset=1, key="E", reason="no such flow", body=b"", at=NOW, id=12
    )
    (cause,) = causes(facts(None, letters=[letter]))
    assert (cause.code, cause.message) == (
        "DEAD_LETTER",
        "a message for it became dead letter 12: no such flow",
    )


def test_a_flow_that_can_not_be_read() -> None:
    assert first(execution(), flow_error="line 3: no") == ("FLOW_BROKEN", "its flow can not be read: line 3: no")


def test_a_queued_execution_names_who_holds_the_slots_and_its_place() -> None:
    slots = [SlotFact("A", True, 1), SlotFact("B", False, 2), SlotFact("E", False, 3)]
    (cause,) = causes(facts(execution(State.QUEUED), slots=slots))
    assert cause.code == "CONCURRENCY_LIMIT"
    assert cause.executions == ["A"]
    assert cause.message.endswith("its slots are held by A; it is number 2 of 2 who wait")


def test_a_paused_execution_says_until_when() -> None:
    (cause,) = causes(facts(execution(State.PAUSED, run("approve", State.PAUSED, due=NOW + MINUTE))))
    assert (cause.code, cause.until) == ("PAUSED", NOW + MINUTE)
    assert cause.message == (
        "it is paused in approve and waits to be resumed, at the latest until 2023-11-14 22:14:20 UTC"
    )


def test_no_worker_for_the_queue() -> None:
    found = execution(State.RUNNING, run())
    (cause,) = causes(
        facts(found, leases=[lease("submitted", queue="gpu")], workers=[worker(), worker("w2", live=False)])
    )
    assert cause.code == "NO_WORKER"
    assert cause.message == "task t waits for a worker of queue `gpu`, and there is none; there are w1 (default)"
    assert cause.remedy == "start one: LEVADA_WORKER_QUEUES=gpu levada serve worker"


def test_no_worker_with_these_tags() -> None:
    found = execution(State.RUNNING, run())
    asked = [lease("submitted", queue="default[linux,ssd]")]
    assert causes(facts(found, leases=asked, workers=[worker(tags=["linux"])]))[0].code == "NO_WORKER"
    assert causes(facts(found, leases=asked, workers=[worker(tags=["ssd", "linux"])]))[0].code == "WAITING_FOR_WORKER"


def test_all_slots_in_use() -> None:
    found = execution(State.RUNNING, run())
    (cause,) = causes(
        facts(
            found,
            leases=[lease("submitted")],
            workers=[worker(running=8), worker("w2", running=9)],
            ahead={"default": 4},
        )
    )
    assert cause.code == "WORKERS_BUSY"
    assert "behind 4 others: 2 workers with 17 of 16 slots" in cause.message


def test_a_worker_that_was_lost() -> None:
    found = execution(State.RUNNING, run(state=State.RUNNING))
    assert first(found, leases=[lease("claimed", until=NOW - 1)])[0] == "WORKER_LOST"
    assert first(found, leases=[lease("lost")])[0] == "WORKER_LOST"
    assert first(found, leases=[lease("claimed", until=NOW + 1)]) == ("RUNNING", "task t runs on worker w1 (attempt 1)")


def test_waiting_for_a_subflow_and_for_a_retry() -> None:
    waiting = run("sub", State.RUNNING, child_execution="C")
    retrying = run("again", State.RETRYING, due=NOW + MINUTE)
    by_task = {cause.task_id: cause for cause in causes(facts(execution(State.RUNNING, waiting, retrying)))}
    assert (by_task["sub"].code, by_task["sub"].executions) == ("SUBFLOW", ["C"])
    assert (by_task["again"].code, by_task["again"].until) == ("TIMER", NOW + MINUTE)


def test_killing_scheduled_and_flow_retry_say_until_when() -> None:
    deadline = [TimerFact("kill_deadline", NOW + MINUTE, False, None)]
    assert causes(facts(execution(State.KILLING), timers=deadline))[0].until == NOW + MINUTE
    assert first(execution(State.CREATED, scheduled=NOW + MINUTE))[0] == "SCHEDULED"
    retry = [TimerFact("flow_retry", NOW + MINUTE, False, None)]
    assert causes(facts(execution(State.RETRYING), timers=retry))[0].until == NOW + MINUTE


def test_there_is_always_an_answer() -> None:
    for state in State:
        assert causes(facts(execution(state)))
    assert first(None)[0] == "UNKNOWN"
