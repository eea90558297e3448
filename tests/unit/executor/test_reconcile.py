"""What was accepted and is not on the bus is sent again; what is, is not. And nothing is applied twice."""

from collections.abc import Sequence

import pytest

from levada.bus.port import COMMANDS, Outgoing, PositionLost
from levada.engine import outputs
from levada.model import commands as cmd
from levada.model.errors import Transient
from levada.model.ids import partition_of
from levada.runtime.accepting import AcceptedCommands
from levada.runtime.clock import SystemClock
from levada.runtime.platform import Platform
from levada.store.memory import MemoryExecutionStore, MemoryIngress
from levada.store.port import FlowRow
from levada_executor.main import Parts

LOG = """
id: log
namespace: n
tasks:
  - id: a
    type: io.kestra.plugin.core.log.Log
    message: hello
"""
CALM_US = 60_000_000


class Shifted(SystemClock):
    shift_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.shift_us


class World:
    """A platform in memory whose bus may lose and repeat."""

    def __init__(self) -> None:
        self.clock = Shifted()
        self.platform = platform = Platform.in_memory(self.clock)
        tables = platform.executions.tables  # type: ignore[attr-defined]
        self.count = platform.bus.partitions
        platform.executions = MemoryExecutionStore(
            tables, now_us=self.clock.now_us, index=outputs.rebuild, ingress_partitions=self.count
        )
        self.ingress = platform.ingress = MemoryIngress(tables)
        platform.commands = AcceptedCommands(platform.ingress, platform.bus, self.clock)
        self.parts = Parts(platform)
        assert self.parts.reconciler is not None
        self.executor, self.reconciler = self.parts.executor, self.parts.reconciler

    async def open(self) -> "World":
        await self.platform.flows.save(FlowRow(namespace="n", id="log", revision=0, source=LOG, updated=1))
        await self.executor.take_over()
        return self

    async def drain(self) -> None:
        while await self.executor.step(0.02):
            pass

    async def start(self, id: str) -> None:
        await self.platform.commands.send([cmd.StartExecution(execution_id=id, namespace="n", flow_id="log")])

    async def state(self, id: str) -> str | None:
        found = (await self.platform.executions.load([id])).get(id)
        return found.state if found is not None else None

    async def waiting(self) -> int:
        return len(await self.ingress.waiting(range(self.count), 1 << 62, 9999))


@pytest.fixture
async def w() -> World:
    return await World().open()


async def test_what_is_applied_is_not_sent_again(w: World) -> None:
    await w.reconciler.look()
    await w.start("E")
    await w.drain()
    w.clock.shift_us += CALM_US
    assert await w.reconciler.look() == 0
    assert await w.reconciler.look() == 0
    assert await w.waiting() == 0


async def test_what_never_reached_the_bus_is_sent_again_and_applied(w: World) -> None:
    real = w.platform.bus.append

    async def swallow(records: Sequence[Outgoing]) -> None: ...

    w.platform.bus.append = swallow  # type: ignore[method-assign]
    await w.start("E")
    await w.drain()
    w.platform.bus.append = real  # type: ignore[method-assign]
    assert await w.state("E") is None
    assert await w.reconciler.look() == 0  # may still be on its way
    w.clock.shift_us += CALM_US
    await w.reconciler.look()
    assert await w.reconciler.look() == 1
    await w.drain()
    assert await w.state("E") == "SUCCESS"
    assert await w.waiting() == 0


async def test_what_is_in_a_long_queue_is_not_sent_again(w: World) -> None:
    await w.reconciler.look()
    await w.start("E")
    w.clock.shift_us += CALM_US
    await w.reconciler.look()
    assert await w.reconciler.look() == 0
    await w.drain()
    assert await w.reconciler.look() == 0


async def test_a_record_that_comes_twice_is_applied_once(w: World) -> None:
    await w.start("E")
    (row,) = await w.ingress.waiting(range(w.count), 1 << 62, 9)
    await w.platform.commands.resend([row])  # type: ignore[union-attr]
    await w.start("F")
    await w.drain()
    await w.platform.commands.send([cmd.SetLabels(execution_id="E", labels=[("a", "1")])])
    (labels,) = await w.ingress.waiting(range(w.count), 1 << 62, 9)
    await w.drain()
    await w.platform.commands.send([cmd.SetLabels(execution_id="E", labels=[("a", "2")])])
    await w.platform.commands.resend([labels])  # type: ignore[union-attr]
    await w.drain()
    execution = (await w.platform.executions.load(["E"]))["E"]
    assert dict(execution.labels)["a"] == "2"
    assert (await w.state("E"), await w.state("F")) == ("SUCCESS", "SUCCESS")


async def test_a_log_that_was_lost_is_read_from_its_new_beginning_and_filled_again(w: World) -> None:
    for n in range(20):
        await w.start(f"E{n}")
    await w.drain()
    await w.start("F")
    part = partition_of("F", w.count)
    real = w.platform.bus.poll
    lost = True

    async def poll(topic: str, positions: dict[int, int], **more: object) -> object:
        nonlocal lost
        if lost and topic == COMMANDS:
            lost = False
            raise PositionLost(COMMANDS, part, positions[part], 0, 0)
        return await real(topic, positions, **more)  # type: ignore[arg-type]

    w.platform.bus.poll = poll  # type: ignore[method-assign, assignment]
    with pytest.raises(PositionLost) as found:
        await w.executor.step(0)
    await w.executor._begin_again(found.value)
    await w.executor.take_over()
    await w.drain()
    assert await w.state("F") == "SUCCESS"
    assert [await w.state(f"E{n}") for n in range(20)] == ["SUCCESS"] * 20
    assert await w.waiting() == 0


async def test_a_bus_that_is_away_is_no_error(w: World) -> None:
    async def ends(_: str) -> dict[int, int]:
        raise Transient("away")

    w.platform.bus.ends = ends  # type: ignore[method-assign]
    with pytest.raises(Transient):
        await w.reconciler.look()


async def test_a_note_that_a_lost_log_never_reaches_is_made_anew(w: World) -> None:
    part = partition_of("E", w.count)
    ends = dict.fromkeys(range(w.count), 0) | {part: 50}

    async def noted(_: str) -> dict[int, int]:
        return ends

    w.platform.bus.ends = noted  # type: ignore[method-assign, assignment]
    w.reconciler._positions = lambda: dict.fromkeys(range(w.count), 0)
    await w.start("E")
    await w.reconciler.look()
    w.clock.shift_us += CALM_US
    assert await w.reconciler.look() == 0, "what is on the bus may still be read"
    ends[part] = 0
    await w.reconciler.look()
    w.clock.shift_us += CALM_US
    assert await w.reconciler.look() == 1
