"""The larger faults, at random moments: kills, freezes, cut networks, second executors, rolling restarts, clock jumps,
and results that nobody was asked for. A world has only some kinds of gremlins: where all are at work at once, what one
breaks hides what another would have shown.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from levada.bus.port import COMMANDS, Outgoing
from levada.model import commands as cmd
from levada.model.states import State
from simulation.loop import Process

EXECUTORS_MAX = 4

if TYPE_CHECKING:
    from simulation.world import World

HOUR_US = 3_600_000_000
#: A token that no claim was ever given.
FORGED = "f" * 32


async def play(world: World) -> None:
    rate = world.climate.gremlins
    if not rate:
        return
    favourites = world.chance.sample(ACTS, world.chance.randint(1, 4))
    if world.climate.favourites:
        favourites = [act for act in ACTS if act.__name__ in world.climate.favourites]
    while True:
        await asyncio.sleep(world.chance.expovariate(rate))
        act = world.chance.choice(favourites)
        await act(world)


def _some_executor(world: World) -> Process | None:
    alive = [process for process in world.executors if not process.dead]
    return world.chance.choice(alive) if alive else None


def _some_worker(world: World) -> Process | None:
    alive = [process for process in world.workers.values() if not process.dead]
    return world.chance.choice(alive) if alive else None


async def kill_executor(world: World) -> None:
    if (process := _some_executor(world)) is not None:
        process.kill()


async def kill_worker(world: World) -> None:
    if (process := _some_worker(world)) is not None:
        process.kill()


async def freeze_executor(world: World) -> None:
    if (process := _some_executor(world)) is not None:
        world.freeze(process)


async def freeze_worker(world: World) -> None:
    if (process := _some_worker(world)) is not None:
        world.freeze(process)


async def cut_worker(world: World) -> None:
    """Its network is gone, sometimes beyond the lease; the tasks in it go on."""
    if (process := _some_worker(world)) is not None:
        seconds = world.chance.choice([1.0, 7.0, 9.0, 14.0])
        world.trace(process.name, "cut", f"{seconds}")
        process.cut_until = world.loop.time() + seconds


async def cut_executor(world: World) -> None:
    if (process := _some_executor(world)) is not None:
        seconds = world.chance.choice([1.0, 4.0])
        world.trace(process.name, "cut", f"{seconds}")
        process.cut_until = world.loop.time() + seconds


async def second_executor(world: World) -> None:
    """One more executor starts; partitions move to it. A little later another one is stopped in good order."""
    if len(world.living()) >= EXECUTORS_MAX:
        return
    first = _some_executor(world)
    world.start_executor()
    if first is not None:
        world.later(world.chance.random() * 3, lambda: world.stop(first))


async def kill_api(world: World) -> None:
    world.api.process.kill()


async def freeze_api(world: World) -> None:
    world.freeze(world.api.process)


async def wipe_bus(world: World) -> None:
    """Everything that the bus holds is lost. Where the bus is the database that can not be."""
    if world.apart:
        world.wipe_bus()


async def restart_worker(world: World) -> None:
    if (process := _some_worker(world)) is not None:
        await world.stop(process)


async def jump_clock(world: World) -> None:
    """The wall clock of a worker is set: it must not matter."""
    if (process := _some_worker(world)) is not None:
        process.offset_us = world.chance.choice([-HOUR_US, HOUR_US, -2_000_000, 2_000_000, 0])
        world.trace(process.name, "clock", f"{process.offset_us}")


async def forge_result(world: World) -> None:
    """A result of the present attempt under a token that was never given out, as after a restored backup."""
    held = sorted((key, lease) for key, lease in world.tables.leases.items() if lease.state == "claimed")
    if not held:
        return
    (execution_id, task_run_id), lease = world.chance.choice(held)
    forged = cmd.TaskFinished(
        execution_id=execution_id,
        task_run_id=task_run_id,
        attempt=lease.attempt,
        token=FORGED,
        state=State.SUCCESS,
        at=world.now_us(),
        outputs={"attempt": lease.attempt, "nonce": "forged"},
    )
    await world.append("forger", [Outgoing(COMMANDS, execution_id, cmd.encode(forged))])


ACTS = (
    kill_executor,
    kill_worker,
    freeze_executor,
    freeze_worker,
    cut_worker,
    cut_executor,
    second_executor,
    kill_api,
    freeze_api,
    wipe_bus,
    restart_worker,
    jump_clock,
    forge_result,
)
