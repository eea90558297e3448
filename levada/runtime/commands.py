"""Commands on their way to the executor: model on one side, bus records on the other.

Whoever asks something of an execution (api, scheduler, jobs, executor itself) sends it from here, so key and encoding are
the same everywhere: the key is the execution's id, which is what keeps the commands of one execution in order.
"""

from __future__ import annotations

from collections.abc import Sequence

from levada.bus.port import COMMANDS, Bus, Outgoing
from levada.model import commands
from levada.model.commands import Command


def outgoing(command: Command) -> Outgoing:
    return Outgoing(COMMANDS, command.execution_id, commands.encode(command))


class BusCommands:
    """`jobs.CommandLog` over a bus that is as durable as the database."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def send(self, commands: Sequence[Command]) -> None:
        """Append durably. Raises Transient; then they may or may not be there."""
        await self._bus.append([outgoing(command) for command in commands])

    async def close(self) -> None:
        """Nothing is kept here."""
