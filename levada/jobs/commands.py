"""How the jobs adapters hand commands to the executor.

Jobs and bus are strangers; whoever composes a process gives the adapter something that satisfies `CommandLog`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from levada.model.commands import Command


class CommandLog(Protocol):
    async def send(self, commands: Sequence[Command]) -> None:
        """Append durably. Raises Transient; then they may or may not be there."""

    async def send_within(self, connection: Any, commands: Sequence[Command]) -> Callable[[], None]:
        """Append as the last statement of the connection's transaction; call what this returns after its commit."""
