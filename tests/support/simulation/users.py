"""The people of a simulated world: they start executions, kill some, pause and resume, restart what failed.

A start counts from the moment its append returns; one that raises is tried again under the same id, as clients do, and if
it never returns nobody may rely on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from levada.bus.port import COMMANDS, Outgoing
from levada.model import commands as cmd
from levada.model.errors import Transient
from levada.model.execution import ExecutionHead
from levada.model.states import FAILURES, State
from levada.store import encoding
from simulation.loop import Process
from simulation.ports import Line, SimBus
from simulation.workload import NAMESPACE

if TYPE_CHECKING:
    from simulation.world import World

STARTS_S = 28.0
TRIES = 5


def parts(world: World) -> list[Coroutine[Any, Any, None]]:
    """What users do, side by side."""
    bus = SimBus(Line(world, Process(world.loop, "user"), immortal=True))
    starts = [_start(world, bus) for _ in range(world.chance.randint(4, 10))]
    return [*starts, _meddle(world, bus)]


async def _start(world: World, bus: SimBus) -> None:
    await asyncio.sleep(world.chance.random() * STARTS_S)
    limited = world.planned[1]
    flow = world.chance.choice([limited, *world.planned[1:]])
    start = cmd.StartExecution(
        execution_id=world.new_id(), namespace=NAMESPACE, flow_id=flow.id, inputs={}, resolved=True
    )
    if await _send(bus, start):
        world.trace("user", "acknowledged", f"{flow.id} {start.execution_id}")
        world.acknowledged.append(start.execution_id)


async def _send(bus: SimBus, command: cmd.Command) -> bool:
    for _ in range(TRIES):
        try:
            await bus.append([Outgoing(COMMANDS, command.execution_id, cmd.encode(command))])
        except Transient:
            await asyncio.sleep(0.2)
        else:
            return True
    return False


async def _meddle(world: World, bus: SimBus) -> None:
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
            await _send(bus, wish)


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
    bus = SimBus(Line(world, Process(world.loop, "user"), immortal=True))
    while True:
        for head in heads(world):
            if head.state is State.PAUSED and head.resume_to is not None:
                await _send(bus, cmd.ResumeExecution(execution_id=head.id))
        await asyncio.sleep(5.0)
