"""A worker dies in the middle of a task, an old attempt reports late, a record is poisonous, the process is asked to stop."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import audit
import pytest
from installation import Installation, histories, marked, shell, task_runs, wait_until

from levada.bus.port import COMMANDS, Outgoing
from levada.bus.postgres import PostgresBus
from levada.database import Database
from levada.model import commands as cmd
from levada.model.states import State
from levada.store.embedded import EmbeddedPostgres

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("chaos-workers")]

LONG_TASK = """
id: {id}
namespace: chaos
tasks:
  - id: nap
    type: scripts.shell.Commands
    {property}
    commands:
      - echo "attempt {{{{ taskrun.attemptsCount }}}}" >> {ledger}
      - "if [ -e {go} ]; then exit 0; fi"
      - sleep {sleep}
"""
PAUSING = """
id: pausing
namespace: chaos
tasks:
  - id: wait
    type: core.flow.Pause
  - id: say
    type: core.log.Log
    message: resumed
"""


class Nap:
    """A flow whose task sleeps under a name that finds its processes, until a file says that it may end."""

    def __init__(self, folder: Path, id_: str, property_: str = "description: sleeps") -> None:
        self.id = id_
        self.ledger, self._go = folder / f"{id_}.ledger", folder / f"{id_}.go"
        self.marker = f"31{uuid.uuid4().int % 10**9}"
        self.source = LONG_TASK.format(
            id=id_, property=property_, ledger=shell(self.ledger), go=shell(self._go), sleep=self.marker
        )

    def runs(self) -> list[str]:
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    def let_end(self) -> None:
        self._go.touch()

    def processes(self) -> list[int]:
        return marked(f"sleep\0{self.marker}")


def append(data: Path, *records: Outgoing) -> None:
    """Put records on the bus of an installation that is not running."""

    async def write() -> None:
        async with EmbeddedPostgres(data) as postgres:
            database = await Database.open(postgres.dsn, size=2)
            bus = PostgresBus(database, now_us=lambda: time.time_ns() // 1000)
            await bus.append(records)
            await bus.close()
            await database.close()

    asyncio.run(write())


def command(wanted: cmd.Command) -> Outgoing:
    return Outgoing(COMMANDS, wanted.execution_id, cmd.encode(wanted))


def test_a_task_whose_worker_died_runs_again_and_the_old_attempt_is_not_heard(
    install: Callable[..., Installation], tmp_path: Path
) -> None:
    installation = install(LEVADA_WORKER_LEASE="2").start()
    again, once = Nap(tmp_path, "again"), Nap(tmp_path, "once", "onWorkerLost: fail")
    started: dict[Nap, str] = {}
    for nap in (again, once):
        installation.deploy(nap.source)
        started[nap] = installation.begin(f"chaos.{nap.id}")
    for nap in (again, once):
        wait_until(lambda: bool(nap.processes()), "the first attempt", 30, installation)  # noqa: B023
    rows = audit.fetch(installation.data, "SELECT id, token FROM task_run WHERE execution_id = $1", started[again])
    installation.kill()
    wait_until(lambda: not again.processes() + once.processes(), "the processes of attempt 1 to end", 15)

    installation.start()
    wait_until(lambda: bool(again.processes()), "the second attempt", 30, installation)
    installation.kill()
    wait_until(lambda: not again.processes(), "the processes of attempt 2 to end", 15)
    late = [
        command(
            cmd.TaskFinished(
                execution_id=started[again],
                task_run_id=id_,
                attempt=attempt,
                token=token,
                state=State.SUCCESS,
                at=time.time_ns() // 1000,
                outputs={"exitCode": 99},
            )
        )
        for id_, token in rows
        for attempt in (1, 2)  # its own number, and the present one under the old token
    ]
    append(installation.data, *late)
    again.let_end()
    installation.start()

    ended = installation.ended(started[again])
    assert ended["state"]["current"] == "SUCCESS"
    (run,) = task_runs(ended, "nap")
    assert [one["state"]["current"] for one in run["attempts"]] == ["RESUBMITTED", "RESUBMITTED", "SUCCESS"]
    assert run["outputs"]["exitCode"] == 0
    assert again.runs() == ["attempt 0", "attempt 1", "attempt 2"]
    assert any("the worker was lost: attempt 2 follows" in line for line in installation.logs(started[again]))

    failed = installation.ended(started[once])
    assert failed["state"]["current"] == "FAILED"
    assert once.runs() == ["attempt 0"]
    assert any("onWorkerLost: fail" in line for line in installation.logs(started[once]))
    assert [one["state"]["current"] for one in task_runs(failed, "nap")[0]["attempts"]] == ["FAILED"]
    assert audit.broken_promises(installation.data, started.values()) == []


def test_poisonous_records_fail_their_execution_visibly_and_nobody_else(install: Callable[..., Installation]) -> None:
    installation = install().start()
    installation.deploy(PAUSING)
    sick, well = installation.begin("chaos.pausing"), installation.begin("chaos.pausing")
    for id_ in (sick, well):
        wait_until(lambda: installation.state(id_) == "PAUSED", "the pause", 30, installation)  # noqa: B023
    assert installation.stop() == 0
    garbage = b'\xff\x00{"type":'
    append(
        installation.data,
        Outgoing(COMMANDS, well, garbage),
        Outgoing(COMMANDS, well, b'{"type":"from_the_future","execution_id":"x"}'),
        command(cmd.TimerFired(execution_id=sick, seq=1, kind="no such kind")),
        command(cmd.TimerFired(execution_id="0" * 22, seq=1, kind="no such kind")),
    )
    installation.start()
    failed = installation.ended(sick)
    assert failed["state"]["current"] == "FAILED"
    assert any("no such kind" in line for line in installation.logs(sick))
    assert installation.api("POST", f"/executions/{well}/resume").status in (200, 204)
    assert installation.ended(well)["state"]["current"] == "SUCCESS"
    dead = audit.fetch(installation.data, "SELECT key, reason, body FROM dead_letter ORDER BY id")
    assert sorted((row["key"], row["body"] == garbage) for row in dead) == sorted(
        [(well, True), (well, False), (sick, False)]
    )
    assert any("ValueError" in row["reason"] for row in dead if row["key"] == sick)
    assert audit.broken_promises(installation.data, [sick, well]) == []


def test_a_stop_fails_no_task(install: Callable[..., Installation], tmp_path: Path) -> None:
    """What ends within the grace ends; the rest is given back, untouched, and runs after the next start.

    Of the 10 s, one is for tasks that are told to end and five for the last words: tasks have four to finish by themselves.
    """
    installation = install(LEVADA_SERVER_SHUTDOWN_GRACE="10", LEVADA_WORKER_KILL_GRACE="1").start()
    long = Nap(tmp_path, "long")
    installation.deploy(
        "id: short\nnamespace: chaos\ntasks:\n  - id: nap\n    type: scripts.shell.Commands\n    commands: [sleep 1.5]\n"
    )
    installation.deploy(long.source)
    ids = {name: installation.begin(f"chaos.{name}") for name in ("short", "long")}
    wait_until(lambda: bool(long.processes()), "the tasks to run", 30, installation)
    wait_until(lambda: installation.state(ids["short"]) == "RUNNING", "the tasks to run", 30, installation)
    begun = time.monotonic()
    assert installation.stop(signal.SIGTERM) == 0
    assert time.monotonic() - begun < 20
    assert long.processes() == []
    assert installation.postmaster() is None

    long.let_end()
    installation.start()
    ended = {name: installation.ended(id_) for name, id_ in ids.items()}
    assert [one["state"]["current"] for one in ended.values()] == ["SUCCESS", "SUCCESS"], installation.log
    assert [len(task_runs(one, "nap")[0]["attempts"]) for one in ended.values()] == [1, 2]
    for one in ended.values():
        assert "FAILED" not in histories(one) + histories(task_runs(one, "nap")[0])
    assert audit.broken_promises(installation.data, ids.values()) == []


def test_a_second_signal_ends_at_once_and_loses_nothing(install: Callable[..., Installation], tmp_path: Path) -> None:
    installation = install(LEVADA_WORKER_LEASE="2").start()
    nap = Nap(tmp_path, "nap")
    installation.deploy(nap.source)
    id_ = installation.begin("chaos.nap")
    wait_until(lambda: bool(nap.processes()), "the task to run", 30, installation)
    assert installation.process is not None
    installation.process.send_signal(signal.SIGINT)
    time.sleep(1)
    begun = time.monotonic()
    installation.process.send_signal(signal.SIGINT)
    installation.exit_code(20)
    assert time.monotonic() - begun < 10
    assert nap.processes() == []
    nap.let_end()
    installation.start()
    assert installation.ended(id_)["state"]["current"] == "SUCCESS"
