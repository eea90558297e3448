"""The whole product is killed under load, at random moments and at every failpoint; nothing acknowledged is lost or doubled."""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from installation import Client, Installation, wait_until
from pressure import Pressure

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("chaos-crashes")]

KILLED = 137
HANGS = "failpoint executor.after_commit: hang"
EXECUTOR = ("polled#40", "before_commit#30", "after_commit#30", "sent#5", "after_send#30")
"""On the way between two starts. `owned` is passed once in a life, and comes last."""

ADAPTERS = (
    "store.before_commit#30",
    "store.in_commit#3",
    "store.after_commit#30",
    "bus.before_append#30",
    "bus.after_append#30",
    "jobs.claimed#3",
    "jobs.announced#3",
)


def test_kills_at_random_moments_lose_and_double_nothing(
    install: Callable[..., Installation], ledger: Path, keeps_its_promises: Callable[..., None], cycles: int
) -> None:
    chance = random.Random(2024)
    installation = install(LEVADA_WORKER_LEASE="2").start()
    Pressure.deploy(installation, ledger)
    with Pressure(installation) as pressure:
        for _ in range(cycles):
            before = len(pressure.acknowledged)
            wait_until(lambda: len(pressure.acknowledged) > before + 20, "load", 30, installation)  # noqa: B023
            time.sleep(chance.random() * 1.5)
            installation.kill()
            installation.start()
    assert pressure.refused == []
    keeps_its_promises(installation, pressure.acknowledged)
    assert ledger.exists(), "no task ran"
    assert installation.stop() == 0


def test_a_crash_at_every_failpoint_loses_and_doubles_nothing(
    install: Callable[..., Installation], ledger: Path, keeps_its_promises: Callable[..., None], long_form: bool
) -> None:
    """The start after a crash carries the next failpoint, so that recovery meets them too."""
    installation = install(LEVADA_WORKER_LEASE="2").start()
    Pressure.deploy(installation, ledger)
    assert installation.stop() == 0
    plans = [f"executor.{name}".replace("#", "=exit#") for name in EXECUTOR]
    plans += [name.replace("#", "=exit#") for name in ADAPTERS]
    if long_form:
        plans += [plan.replace("exit", "raise") for plan in plans if plan.startswith("executor")]
    with Pressure(installation) as pressure:
        for plan in plans:
            installation.launch(LEVADA_FAILPOINTS=plan)
            code = installation.exit_code(90)
            assert code == KILLED if "exit" in plan else code not in (0, KILLED), (plan, installation.log[-2000:])
        installation.launch(LEVADA_FAILPOINTS="executor.owned=exit#1")
        assert installation.exit_code(90) == KILLED
        installation.start()
        before = len(pressure.acknowledged)
        wait_until(lambda: len(pressure.acknowledged) > before + 20, "load", 30, installation)
    assert pressure.refused == []
    keeps_its_promises(installation, pressure.acknowledged)


def test_a_defect_in_the_executor_ends_the_process_loudly_and_loses_nothing(
    install: Callable[..., Installation], ledger: Path, keeps_its_promises: Callable[..., None]
) -> None:
    """A process that lived on without its executor would look healthy and do nothing."""
    installation = install(LEVADA_WORKER_LEASE="2").start()
    Pressure.deploy(installation, ledger)
    with Pressure(installation, clients=1) as pressure:
        installation.stop()
        installation.launch(LEVADA_FAILPOINTS="executor.after_commit=raise#10")
        assert installation.exit_code(60) not in (0, KILLED)
        assert "failpoint executor.after_commit" in installation.log
        assert installation.postmaster() is None
        installation.start()
    keeps_its_promises(installation, pressure.acknowledged)


def test_a_process_that_hangs_is_visible_and_loses_nothing_when_killed(
    install: Callable[..., Installation], ledger: Path, keeps_its_promises: Callable[..., None]
) -> None:
    installation = install(LEVADA_WORKER_LEASE="2").start()
    Pressure.deploy(installation, ledger)
    assert installation.stop() == 0
    with Pressure(installation, clients=2) as pressure:
        # It may hang before it was ever healthy: what the clients asked for meanwhile is applied at once.
        installation.launch(LEVADA_FAILPOINTS="executor.after_commit=hang#40")
        wait_until(lambda: HANGS in installation.log, "the process to hang", 60, installation)
        assert not answers(installation)
        installation.kill()
        installation.start()
    keeps_its_promises(installation, pressure.acknowledged)


def answers(installation: Installation) -> bool:
    client = Client(installation.port, timeout_s=2.0)
    try:
        return client.request("GET", "/health").status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()
