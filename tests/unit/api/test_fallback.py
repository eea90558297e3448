"""What becomes of tasks whose queue no worker serves: over the API in memory, whose one worker serves only `default`."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from levada.runtime import workers
from levada_executor.deserted import Deserted

FLOW = """
id: lonely
namespace: company.team
workerGroup:
  key: gpu
  fallback: %s
tasks:
  - id: sh
    type: io.kestra.plugin.scripts.shell.Commands
    commands: ["true"]
"""


def deserted(server: Any, patience_s: float = 0.01) -> Deserted:
    platform = server.platform
    return Deserted(
        platform.stranded,
        platform.commands,
        platform.log_sink,
        platform.clock,
        workers=functools.partial(workers.known, platform),
        leads=lambda: True,
        wake_workers=platform.notify_jobs,
        patience_s=patience_s,
    )


async def lonely(server: Any, fallback: str) -> str:
    """Start the flow and return its execution when its task waits for a worker."""
    await server.deploy(FLOW % fallback)
    id = str((await server.start("company.team/lonely"))["id"])
    async with asyncio.timeout(5):
        while not await server.platform.stranded.routes():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    return id


async def settled(loop: Deserted) -> int:
    """Look until the patience is over."""
    assert await loop.look() == 0  # nobody has been missed for long
    await asyncio.sleep(0.03)
    return await loop.look()


@pytest.mark.parametrize(("fallback", "state"), [("FAIL", "FAILED"), ("CANCEL", "KILLED")])
async def test_what_nobody_can_run_ends_as_its_flow_wants(server: Any, fallback: str, state: str) -> None:
    id = await lonely(server, fallback)
    assert await settled(deserted(server)) == 1
    ended = await server.until(id, state)
    assert ended["state"]["current"] == state
    lines = (await server.get(f"/logs/{id}")).json()
    (line,) = [line for line in lines if "no worker serves queue `gpu`" in line["message"]]
    assert f"(fallback: {fallback})" in line["message"]
    assert (line["level"], line["taskId"]) == ("ERROR", "sh")


async def test_an_ignored_choice_lets_any_worker_take_it(server: Any) -> None:
    id = await lonely(server, "IGNORE")
    assert await settled(deserted(server)) == 1
    (claim,) = await server.platform.jobs.claim("w", ["default"], 1, timeout_s=0)
    assert claim.job.execution_id == id


async def test_by_default_it_waits_and_a_worker_that_is_there_is_let_alone(server: Any) -> None:
    await lonely(server, "WAIT")
    assert await settled(deserted(server)) == 0
    await server.deploy(FLOW.replace("lonely", "served").replace("gpu", "default") % "FAIL")
    await server.start("company.team/served")
    assert await settled(deserted(server)) == 0
