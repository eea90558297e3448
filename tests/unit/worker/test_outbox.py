"""Results are kept until they are accepted."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from levada.model.commands import ChildTask, TaskFinished, TaskProgressed
from levada.model.errors import Transient
from levada.model.jobs import Claim, Held
from levada.model.states import State
from levada_worker.outbox import Outbox


class Jobs:
    def __init__(self) -> None:
        self.reports: list[list[TaskFinished | TaskProgressed]] = []
        self.away = 0

    async def report(self, results: Sequence[TaskFinished | TaskProgressed]) -> None:
        if self.away:
            self.away -= 1
            raise Transient("away")
        self.reports.append(list(results))

    async def claim(self, worker: str, queues: Sequence[str], limit: int, *, timeout_s: float) -> list[Claim]:
        return []

    async def renew(self, worker: str, held: Sequence[Held]) -> list[Held]:
        return []

    async def cancelled(self, worker: str, *, timeout_s: float) -> list[Held]:
        return []

    async def close(self) -> None: ...


def finished(number: int) -> TaskFinished:
    return TaskFinished(
        execution_id="e", task_run_id=f"r{number}", attempt=1, token=f"t{number}", state=State.SUCCESS, at=number
    )


def progressed() -> TaskProgressed:
    child = ChildTask(key="c", task_id="c", state=State.RUNNING, history=[])
    return TaskProgressed(execution_id="e", task_run_id="r", attempt=1, token="t", children=[child])


async def test_results_are_reported_in_order_and_forgotten(tmp_path: Path) -> None:
    jobs, accepted = Jobs(), []
    outbox = Outbox(jobs, tmp_path / "spool", accepted.append)
    assert outbox.open() == 0
    running = asyncio.create_task(outbox.run())
    sent = [finished(1), progressed(), finished(2)]
    for one in sent:
        outbox.put(one)
    await outbox.drained()
    assert [one for batch in jobs.reports for one in batch] == sent
    assert accepted == [sent[0], sent[2]]
    assert (tmp_path / "spool").stat().st_size == 0
    running.cancel()


async def test_a_control_plane_that_is_away_is_asked_again(tmp_path: Path) -> None:
    jobs = Jobs()
    jobs.away = 2
    outbox = Outbox(jobs, tmp_path / "spool", lambda result: None)
    outbox.open()
    running = asyncio.create_task(outbox.run())
    outbox.put(finished(1))
    await outbox.drained()
    assert jobs.reports == [[finished(1)]]
    running.cancel()


async def test_what_was_not_accepted_is_sent_by_the_next_life(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()
    jobs.away = 1000
    first = Outbox(jobs, tmp_path / "spool", lambda result: None)
    first.open()
    running = asyncio.create_task(first.run())
    first.put(finished(1))
    first.put(progressed())
    async with asyncio.timeout(5):
        while jobs.away == 1000:  # noqa: ASYNC110  the outbox works by itself
            await asyncio.sleep(0.01)
    running.cancel()
    first.close()
    with (tmp_path / "spool").open("ab") as file:
        file.write(b'{"type": "task_fini')
    jobs.away = 0
    second = Outbox(jobs, tmp_path / "spool", lambda result: None)
    assert second.open() == 1
    running = asyncio.create_task(second.run())
    await second.drained()
    assert jobs.reports == [[finished(1)]]
    assert "cannot be read" in caplog.text
    running.cancel()
