"""Postgres dies under load, again and again; the product goes on unaided and loses nothing it said yes to."""

from __future__ import annotations

import http.client
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from installation import TERMINAL, Installation, wait_until
from pressure import Pressure

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("chaos-postgres")]

RECOVERY_S = 10.0
"""From the death of Postgres until an execution is accepted, run and seen ended again."""


def test_postgres_restarted_under_load_loses_nothing_and_is_back_within_ten_seconds(
    install: Callable[..., Installation], ledger: Path, keeps_its_promises: Callable[..., None], cycles: int
) -> None:
    chance = random.Random(7)
    installation = install(LEVADA_WORKER_LEASE="5").start()
    Pressure.deploy(installation, ledger)
    with Pressure(installation) as pressure:
        for cycle in range(max(cycles - 1, 3)):
            time.sleep(0.5 + chance.random())
            pid = installation.postmaster()
            assert pid is not None
            os.kill(pid, signal.SIGKILL if cycle % 3 == 0 else signal.SIGQUIT)
            took = wait_until(lambda: runs_a_flow(installation), "a flow to run again", 3 * RECOVERY_S, installation)
            assert took < RECOVERY_S, installation.log[-3000:]
    assert installation.alive()
    assert pressure.refused == []
    keeps_its_promises(installation, pressure.acknowledged)
    assert installation.stop() == 0


def test_a_task_that_runs_while_postgres_restarts_succeeds_in_its_first_attempt(
    install: Callable[..., Installation],
) -> None:
    installation = install().start()
    installation.deploy(
        "id: nap\nnamespace: chaos\ntasks:\n  - id: nap\n    type: scripts.shell.Commands\n    commands: [sleep 4]\n"
    )
    id_ = installation.begin("chaos.nap")
    wait_until(lambda: installation.state(id_) == "RUNNING", "the task to run", 30, installation)
    time.sleep(0.5)
    pid = installation.postmaster()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(installation.healthy, "health", 30, installation)
    ended = installation.ended(id_)
    assert ended["state"]["current"] == "SUCCESS"
    assert [attempt["state"]["current"] for attempt in ended["taskRunList"][0]["attempts"]] == ["SUCCESS"]


def runs_a_flow(installation: Installation) -> bool:
    """Whether the product accepts an execution and brings it to its end."""
    try:
        answer = installation.api("POST", "/executions/chaos/quick")
        if answer.status != 200:
            return False
        id_ = answer.json()["id"]
        for _ in range(100):
            shown = installation.api("GET", f"/executions/{id_}")
            if shown.status == 200 and shown.json()["state"]["current"] in TERMINAL:
                return True
            time.sleep(0.05)
    except (OSError, http.client.HTTPException):
        return False
    return False
