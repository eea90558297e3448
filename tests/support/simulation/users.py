"""The people of a simulated world: they start executions, kill some, pause and resume, restart what failed.

They ask the api. A start counts from the moment it answers; one that raises is tried again under the same id, as clients
do, and if it is never answered nobody may rely on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from levada.model import commands as cmd
from levada.model.errors import Transient
from levada.model.execution import ExecutionHead
from levada.model.states import FAILURES, State
from levada.store import encoding
from simulation.workload import NAMESPACE

if TYPE_CHECKING:
    from simulation.world import World

STARTS_S = 28.0
TRIES = 5


def parts(world: World) -> list[Coroutine[Any, Any, None]]:
    """What users do, side by side."""
    starts = [_start(world) for _ in range(world.chance.randint(4, 10))]
    return [*starts, _meddle(world)]


async def _start(world: World) -> None:
    await asyncio.sleep(world.chance.random() * STARTS_S)
    limited = world.planned[1]
    flow = world.chance.choice([limited, *world.planned[1:]])
    start = cmd.StartExecution(
        execution_id=world.new_id(), namespace=NAMESPACE, flow_id=flow.id, inputs={}, resolved=True
    )
    if await _send(world, start):
        world.trace("user", "acknowledged", f"{flow.id} {start.execution_id}")
        world.acknowledged.append(start.execution_id)


async def _send(world: World, command: cmd.Command) -> bool:
    """Send until it is acknowledged; a start that is tried again is the same start."""
    for _ in range(TRIES):
        try:
            await world.api.send([command])
        except Transient:
            await asyncio.sleep(0.2)
        else:
            return True
    return False


async def _meddle(world: World) -> None:
    """Kill, pause, resume and restart at random moments."""
    every = world.chance.choice([0.5, 1.0, 4.0, 15.0, 60.0])
    while True:
        await asyncio.sleep(world.chance.expovariate(1 / every))
        known = [head for head in heads(world) if not head.is_terminal or head.state in FAILURES]
        if not known:
            continue
        head = world.chance.choice(known)
        wish = _wish(world, head)
        if wish is not None:
            world.trace("user", type(wish).__name__, head.id)
            await _wished(world, wish)


async def _wished(world: World, wish: cmd.Command) -> None:
    """Ask once: whoever gets no answer looks first what became of it."""
    world.watch.asked(wish)
    try:
        await world.api.send([wish])
    except Transient as error:
        world.trace("user", "no answer", str(error))


def heads(world: World) -> list[ExecutionHead]:
    """All executions as the table shows them, in order of their ids."""
    return [encoding.head_from(world.tables.heads[id_]) for id_ in sorted(world.tables.heads)]


def _wish(world: World, head: ExecutionHead) -> cmd.Command | None:
    if head.state in FAILURES:
        return cmd.RestartExecution(execution_id=head.id) if head.restarts < 3 else None
    if head.is_terminal:
        return None
    if head.state is State.PAUSED:
        return cmd.ResumeExecution(execution_id=head.id)
    if world.chance.random() < 0.3:
        return cmd.PauseExecution(execution_id=head.id)
    return cmd.KillExecution(execution_id=head.id)


async def resume_all(world: World) -> None:
    """In the quiet time: nobody leaves anything paused by hand."""
    while True:
        for head in heads(world):
            if head.state is State.PAUSED and head.resume_to is not None:
                await _send(world, cmd.ResumeExecution(execution_id=head.id))
        await asyncio.sleep(5.0)
