"""Commands on their way to the executor: model on one side, bus records on the other.

Whoever asks something of an execution (api, scheduler, jobs, executor itself) sends it from here, so key and encoding are
the same everywhere: the key is the execution's id, which is what keeps the commands of one execution in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from levada.bus.port import COMMANDS, Bus, Outgoing
from levada.model import commands
from levada.model.commands import Command


class AppendsWithin(Protocol):
    """A bus that lives in the same database as the caller's transaction."""

    async def append_within(self, connection: Any, records: Sequence[Outgoing]) -> Callable[[], None]: ...


def outgoing(command: Command) -> Outgoing:
    return Outgoing(COMMANDS, command.execution_id, commands.encode(command))


class BusCommands:
    """`jobs.CommandLog` over the bus."""

    def __init__(self, bus: Bus, within: AppendsWithin | None = None) -> None:
        self._bus = bus
        self._within = within

    async def send(self, commands: Sequence[Command]) -> None:
        """Append durably. Raises Transient; then they may or may not be there."""
        await self._bus.append([outgoing(command) for command in commands])

    async def send_within(self, connection: Any, commands: Sequence[Command]) -> Callable[[], None]:
        """Append in the connection's transaction; call what this returns after its commit."""
        records = [outgoing(command) for command in commands]
        if self._within is None:
            raise NotImplementedError("this bus is not in the database, so it can not take part in its transactions")
        return await self._within.append_within(connection, records)
