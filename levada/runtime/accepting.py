"""Commands where the bus is not the truth: accepted in Postgres first, then delivered by the bus.

`send` returns when the commands are in the table `ingress`: from then on they will be applied, whatever becomes of this
process or of the bus. The bus gets them right afterwards, in the same order; the commit that applies one removes it from the
table. What the bus did not get, or lost, is still in the table, and the executor that owns its partition sends it again
(services/executor/levada_executor/reconcile.py). So a Kafka that is down makes executions late, and nothing else.

Callers that come while a statement is on its way share the next one, so the busier it is, the cheaper each command.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence

from levada.bus.port import COMMANDS, Bus, Outgoing
from levada.model import commands as model
from levada.model.commands import Command
from levada.model.errors import Transient
from levada.model.ids import partition_of
from levada.runtime import telemetry
from levada.runtime.clock import Clock
from levada.runtime.commands import traced
from levada.store.port import Accepted, Ingress

log = logging.getLogger(__name__)

FLUSH_COMMANDS = 1000
#: Records that wait in memory for the bus; beyond it they are left to be sent again from the table.
RELAY_MAX = 20_000
RELAY_CHUNK = 500
RETRY_S = 0.25
CLOSE_S = 2.0
ID_BYTES = 6

_Call = tuple[list[Accepted], asyncio.Future[None]]


class AcceptedCommands:
    """`jobs.CommandLog` over the ingress table and a bus; one per process."""

    def __init__(self, ingress: Ingress, bus: Bus, clock: Clock) -> None:
        self._ingress = ingress
        self._bus = bus
        self._clock = clock
        self._waiting: list[_Call] = []
        self._flusher: asyncio.Task[None] | None = None
        self._relay: deque[Outgoing] = deque()
        self._relayer: asyncio.Task[None] | None = None
        self._closed = False
        self.left_behind = 0
        """How many were not given to the bus here, because it was away for too long."""

    async def send(self, commands: Sequence[Command]) -> None:
        """Accept durably. Raises Transient; then they may or may not be accepted."""
        if not commands:
            return
        if self._closed:
            raise Transient("this process is stopping")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(([self._accepted(command) for command in commands], done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="ingress-flush")
        await done

    async def resend(self, rows: Iterable[Accepted]) -> None:
        """Give the bus again what is in the table. Raises Transient."""
        await self._bus.append([_outgoing(row) for row in rows])

    async def close(self) -> None:
        """Let what is on its way arrive, within a moment; the rest is in the table."""
        self._closed = True
        for task in (self._flusher, self._relayer):
            if task is not None and not task.done():
                await asyncio.wait([task], timeout=CLOSE_S)
                task.cancel()

    def _accepted(self, command: Command) -> Accepted:
        now, key = self._clock.now_us(), command.execution_id
        id = f"{now:014x}{self._clock.random_bytes(ID_BYTES).hex()}"
        body = model.encode(traced(command))
        return Accepted(id, partition_of(key, self._bus.partitions), now, key, body, telemetry.headers())

    async def _flush(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            rows = [row for wanted, _ in batch for row in wanted]
            try:
                await self._ingress.accept(rows)
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the callers that wait
                _settle(batch, error)
                continue
            except BaseException:
                _settle(batch, Transient("accepting commands was interrupted"))
                raise
            self._deliver(rows)
            _settle(batch, None)

    def _next_batch(self) -> list[_Call]:
        taken, size = 0, 0
        for wanted, _ in self._waiting:
            size += len(wanted)
            if taken and size > FLUSH_COMMANDS:
                break
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    def _deliver(self, rows: Sequence[Accepted]) -> None:
        if len(self._relay) + len(rows) > RELAY_MAX:
            self.left_behind += len(rows)
            return
        self._relay.extend(_outgoing(row) for row in rows)
        if self._relayer is None or self._relayer.done():
            self._relayer = asyncio.create_task(self._give_to_bus(), name="ingress-relay")

    async def _give_to_bus(self) -> None:
        failing = False
        while self._relay:
            chunk = [self._relay.popleft() for _ in range(min(len(self._relay), RELAY_CHUNK))]
            try:
                await self._bus.append(chunk)
                failing = False
            except Transient as error:
                if not failing:
                    log.warning("the bus does not take commands; they are kept in the database: %s", error)
                failing = True
                self._relay.extendleft(reversed(chunk))
                await asyncio.sleep(RETRY_S)


def _outgoing(row: Accepted) -> Outgoing:
    return Outgoing(COMMANDS, row.key, row.body, row.id, row.headers)


def _settle(batch: Iterable[_Call], error: BaseException | None) -> None:
    for _, done in batch:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
