"""The api of a simulated world: whoever asks it (people, workers) reaches the one process that serves at that moment.

What it was asked runs in that process, so it can die between accepting a command and handing it to the bus. Whoever asked
then does not know whether it happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from levada.model import commands as cmd
from levada.model.errors import Transient
from simulation.loop import Process

if TYPE_CHECKING:
    from simulation.world import World

PATIENCE_S = 8.0
"""How long a client waits for an answer."""


class Api:
    def __init__(self, world: World) -> None:
        self._world = world
        self.process = world.process("api")
        self._watch(self.process)

    async def send(self, commands: Sequence[cmd.Command]) -> None:
        """Send commands from the api's process. Raises Transient; then they may or may not have been accepted."""
        process = self.process
        process.check()
        asked = process.spawn(self._world.sender(process).send(commands))
        await asyncio.wait({asked}, timeout=PATIENCE_S)
        if not asked.done() or asked.cancelled():
            raise Transient(f"{process.name} does not answer")
        asked.result()

    def _watch(self, process: Process) -> None:
        process.on_death.append(lambda: self._world.later(0.2 + self._world.chance.random() * 2, self._again))

    async def _again(self) -> None:
        if not self._world.over and self.process.dead:
            self.process = self._world.process("api")
            self._world.trace(self.process.name, "start")
            self._watch(self.process)
