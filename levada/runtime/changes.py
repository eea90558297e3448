"""Changes of executions for those in other processes: the topic `changes`.

The api's waiting requests and event streams live on it, and users may read it too. Each record is one change of one
execution, keyed by the execution's id, a JSON object:

    {"v": 1, "executionId": …, "state": "RUNNING", "terminal": false, "at": 1700000000000000,
     "tenant": "main", "namespace": …, "flowId": …, "flowRevision": 3, "seq": 17}

`at` is epoch microseconds, `seq` the number of the execution's last event. `refused` instead of the last line means that a
command was turned down and nothing changed. A change may come twice; when the bus is away some may be missing, so it is a
hint to look, as every announcement in Levada is: the truth is in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from levada.bus.port import CHANGES, Bus, Outgoing
from levada.model.errors import Transient
from levada.model.execution import ExecutionHead
from levada.model.states import State
from levada.runtime.hub import Hub

log = logging.getLogger(__name__)

VERSION = 1
WAITING_MAX = 20_000
BATCH = 1000
RETRY_S = 0.5
POLL_S = 5.0
POLL_RECORDS = 2000
POLL_BYTES = 4 * 1024 * 1024

_encode = msgspec.json.Encoder().encode


class ChangeRecord(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The wire format; see the module."""

    v: int
    execution_id: str
    state: State
    terminal: bool
    at: int
    tenant: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    flow_revision: int | None = None
    seq: int | None = None
    refused: bool = False


_decode = msgspec.json.Decoder(ChangeRecord).decode


class Announced(Protocol):
    @property
    def execution_id(self) -> str: ...
    @property
    def state(self) -> State: ...
    @property
    def terminal(self) -> bool: ...


class ChangePublisher:
    """Appends changes in the background. Never waits, and drops the oldest when the bus is away for long."""

    def __init__(self, bus: Bus, now_us: Callable[[], int]) -> None:
        self._bus = bus
        self._now_us = now_us
        self._waiting: list[Outgoing] = []
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def publish(self, changes: Sequence[Announced], executions: Sequence[ExecutionHead]) -> None:
        """Send these soon; `executions` are those that were written, for what is said about them."""
        if not changes:
            return
        heads = {execution.id: execution for execution in executions}
        now = self._now_us()
        for change in changes:
            self._waiting.append(_record(change, heads.get(change.execution_id), now))
        over = len(self._waiting) - WAITING_MAX
        if over > 0:
            del self._waiting[:over]
            self.dropped += over
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send(), name="changes")

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                await self._bus.append(batch)
            except Transient as error:
                log.warning("changes wait for the bus: %s", error)
                self._waiting[:0] = batch
                await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """Send what waits, but not longer than a moment."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=1.0)
            self._task.cancel()


class ChangeFollower:
    """Announces on this process's hub what the executors of other processes publish."""

    def __init__(self, bus: Bus, hub: Hub) -> None:
        self._bus = bus
        self._hub = hub

    async def run(self) -> None:
        """Follow from now on, until cancelled."""
        while True:
            try:
                await self._follow()
            except Transient as error:
                log.warning("changes are not heard of for a moment: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        positions = await self._bus.ends(CHANGES)
        while True:
            records = await self._bus.poll(
                CHANGES, positions, max_records=POLL_RECORDS, max_bytes=POLL_BYTES, timeout_s=POLL_S
            )
            for record in records:
                positions[record.partition] = record.offset + 1
                self._announce(record.body)

    def _announce(self, body: bytes) -> None:
        try:
            change = _decode(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            log.warning("a change can not be read and is passed over: %s", error)
            return
        self._hub.announce(change.execution_id, change.state, change.terminal)


def _record(change: Announced, execution: ExecutionHead | None, now: int) -> Outgoing:
    said: dict[str, Any] = {"refused": True}
    if execution is not None:
        said = {
            "tenant": execution.tenant,
            "namespace": execution.namespace,
            "flow_id": execution.flow_id,
            "flow_revision": execution.flow_revision,
            "seq": execution.seq,
        }
    record = ChangeRecord(VERSION, change.execution_id, change.state, change.terminal, now, **said)
    return Outgoing(CHANGES, change.execution_id, _encode(record))
