"""A scheduler over memory and a clock that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from levada import plugins
from levada.flowfile import FlowCache
from levada.model import commands
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.starting import Starter, environment_of
from levada.store import memory
from levada.store.port import FlowRow, KvRow
from levada_scheduler.declaring import Declarer
from levada_scheduler.planning import Planner
from levada_scheduler.scheduler import Scheduler

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REGISTRY = plugins.discover()


def us(text: str) -> int:
    return (datetime.fromisoformat(text).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


class Still(SystemClock):
    """A clock that shows what it was set to."""

    def __init__(self, text: str) -> None:
        self.now = us(text)

    __slots__ = ("now",)

    def now_us(self) -> int:
        return self.now


class Desk:
    """The scheduler of a test and what it sent."""

    def __init__(self, at: str, **settings: Any) -> None:
        self.clock = Still(at)
        self.tables = memory.Tables()
        self.flows = memory.MemoryFlowStore(self.tables)
        self.kv = memory.MemoryKvStore(self.tables)
        self.store = memory.MemoryTriggerStore(self.tables, now_us=self.clock.now_us)
        self.sent: list[commands.StartExecution] = []
        self.failing: Exception | None = None
        starter = Starter(
            clock=self.clock,
            environment=environment_of(Config(), {"team": "data"}),
            secrets={"TOKEN": "hush"},
            kv=self.kv,
            encryption_key=None,
        )
        self.planner = Planner(starter, UTC, **settings)
        self.declarer = Declarer(self.store, FlowCache(self.flows, REGISTRY), self.clock)
        self.scheduler = Scheduler(
            store=self.store,
            planner=self.planner,
            declarer=self.declarer,
            send=self._send,
            clock=self.clock,
        )

    async def _send(self, batch: Sequence[commands.Command]) -> None:
        if self.failing is not None:
            raise self.failing
        self.sent.extend(each for each in batch if isinstance(each, commands.StartExecution))

    async def save(self, triggers: str, *, more: str = "", id: str = "f", disabled: bool = False) -> None:
        lines = "\n".join(f"  {line}" for line in triggers.strip().splitlines())
        source = (
            f"id: {id}\nnamespace: company.team\n{more}\n"
            f"tasks: [{{id: t, type: core.log.Log, message: hi}}]\ntriggers:\n{lines}\n"
        )
        row = FlowRow(namespace="company.team", id=id, revision=0, source=source, updated=0, disabled=disabled)
        await self.flows.save(row)
        await self.declarer.look()
        await self.at(None)

    async def key(self, name: str, value: Any) -> None:
        await self.kv.put(KvRow(namespace="company", key=name, type="JSON", value=value, created=0, updated=0))

    async def at(self, text: str | None) -> list[str]:
        """Move the clock and let everything happen that is due; return the dates fired, as text."""
        if text is not None:
            self.clock.now = us(text)
        before = len(self.sent)
        for _ in range(100):
            due = await self.store.due(self.clock.now, 100)
            if not due:
                break
            await self.scheduler.fire(due, self.clock.now)
        else:
            raise AssertionError("it does not come to rest")
        return [date(start.scheduled) for start in self.sent[before:]]

    async def state(self, trigger: str = "s") -> Any:
        return next(each for each in await self.store.states("main") if each.trigger_id == trigger)

    async def next(self, trigger: str = "s") -> str | None:
        found = (await self.state(trigger)).next_slot
        return None if found is None else date(found)


def date(at: int | None) -> str:
    assert at is not None
    return (EPOCH + timedelta(microseconds=at)).isoformat(timespec="seconds").replace("+00:00", "Z")
