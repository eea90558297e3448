"""Commands on their way to the executor: model on one side, bus records on the other.

Whoever asks something of an execution (api, scheduler, jobs, executor itself) sends it from here, so key and encoding are
the same everywhere: the key is the execution's id, which is what keeps the commands of one execution in order.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from levada.bus.port import COMMANDS, Bus, Outgoing
from levada.model import commands
from levada.model.commands import Command, StartExecution
from levada.runtime import telemetry


def outgoing(command: Command) -> Outgoing:
    headers = telemetry.headers()
    return Outgoing(COMMANDS, command.execution_id, commands.encode(traced(command)), headers=headers)


def traced(command: Command) -> Command:
    """Return the command; a start that belongs to no trace yet gets one while traces are recorded."""
    if not telemetry.enabled() or not isinstance(command, StartExecution) or command.trace_parent is not None:
        return command
    return msgspec.structs.replace(command, trace_parent=telemetry.new_trace(command.execution_id))


class BusCommands:
    """`jobs.CommandLog` over a bus that is as durable as the database."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def send(self, commands: Sequence[Command]) -> None:
        """Append durably. Raises Transient; then they may or may not be there."""
        await self._bus.append([outgoing(command) for command in commands])

    async def close(self) -> None:
        """Nothing is kept here."""
