"""Sending commands to the executor, and waiting until it has applied them.

`send` returns when the command is durable: from then on it will be applied, whatever becomes of this process. `applied`
waits a moment more, so that whoever reads the execution right after the answer finds the change. That wait is a courtesy:
announcements are hints, the store is asked again and again, and when time is up the answer goes out all the same.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from levada.model import commands
from levada.model.execution import Execution, ExecutionHead
from levada.store.port import ExecutionFilter
from levada_api.context import Api

#: How long a caller waits for the executor, and the pauses between looks at the store.
PATIENCE_S = 1.0
LOOKS_S = (0.005, 0.01, 0.02, 0.05, 0.1)


async def send(api: Api, batch: Sequence[commands.Command]) -> None:
    """Append durably. Raises Transient; then it is unknown whether the commands are on the bus."""
    await api.platform.commands.send(batch)


async def send_start(api: Api, command: commands.StartExecution) -> None:
    """Send the start of an execution, and wait until it is there, so that an immediate GET finds it.

    An executor that is behind by more than PATIENCE_S is not asked again and again: that would slow it down further.
    """
    waiter = api.platform.hub.expect(command.execution_id, PATIENCE_S)
    try:
        await send(api, [command])
        if command.scheduled is None:
            await waiter
        else:
            # The creation of an execution that waits for its date is not announced.
            await applied(api, command.tenant, command.execution_id, lambda found: found is not None)
    finally:
        waiter.cancel()


async def send_and_wait(api: Api, command: commands.Command, seen: int, tenant: str) -> None:
    """Send, then wait until the execution has moved past event `seen` (or time is up)."""
    waiter = api.platform.hub.expect(command.execution_id, PATIENCE_S)
    try:
        await send(api, [command])
        await applied(api, tenant, command.execution_id, lambda head: head is not None and head.seq > seen, waiter)
    finally:
        waiter.cancel()


async def applied(
    api: Api,
    tenant: str,
    execution_id: str,
    done: Callable[[ExecutionHead | None], bool],
    waiter: "asyncio.Future[Any] | None" = None,
) -> ExecutionHead | None:
    """Return the execution's head as soon as `done` says so, or what it is when PATIENCE_S are over."""
    deadline = api.clock.monotonic() + PATIENCE_S
    looks = 0
    while True:
        pause = LOOKS_S[min(looks, len(LOOKS_S) - 1)]
        looks += 1
        if waiter is not None and not waiter.done():
            await asyncio.wait([waiter], timeout=pause)
        else:
            await api.clock.sleep(pause)
        found = await head(api, tenant, execution_id)
        if done(found) or api.clock.monotonic() >= deadline:
            return found


async def head(api: Api, tenant: str, execution_id: str) -> ExecutionHead | None:
    """Return an execution without its task runs."""
    found, _ = await api.platform.queries.search(tenant, ExecutionFilter(ids=[execution_id]), limit=1)
    return found[0] if found else None


async def load(api: Api, tenant: str, execution_id: str) -> Execution | None:
    """Return an execution with its task runs; None when it is absent, deleted or of another tenant."""
    found = (await api.platform.executions.load([execution_id])).get(execution_id)
    if found is None or found.deleted or found.tenant != tenant:
        return None
    return found
