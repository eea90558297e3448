"""The executor's loop over memory adapters: batches, poison, fences, unsent commands, slots, flows."""

import asyncio
from collections.abc import Sequence

import pytest

from levada import engine
from levada.bus.port import COMMANDS, Outgoing
from levada.model import commands as cmd
from levada.model.errors import Transient
from levada.model.states import State
from levada.runtime.clock import SystemClock
from levada.runtime.platform import Platform
from levada.store.port import Commit, FlowRow, SequenceConflict
from levada_executor import batch as batch_module
from levada_executor.executor import Executor
from levada_executor.main import Parts

LOG = """
id: log
namespace: n
tasks:
  - id: a
    type: io.kestra.plugin.core.log.Log
    message: "{{ execution.id }}"
"""
PARENT = """
id: parent
namespace: n
tasks:
  - id: s
    type: io.kestra.plugin.core.flow.Subflow
    namespace: n
    flowId: log
"""
LIMITED = """
id: limited
namespace: n
concurrency:
  limit: 1
tasks:
  - id: w
    type: io.kestra.plugin.scripts.shell.Commands
    commands: ["true"]
"""
BROKEN = "id: broken\nnamespace: n\ntasks: 17\n"


class World:
    def __init__(self) -> None:
        self.platform = Platform.in_memory(SystemClock())
        self.parts = Parts(self.platform)
        self.executor, self.timers = self.parts.executor, self.parts.timers

    async def open(self, *sources: str) -> "World":
        for source in sources:
            id_ = source.split("id: ", 1)[1].split("\n", 1)[0]
            await self.platform.flows.save(FlowRow(namespace="n", id=id_, revision=0, source=source, updated=1))
        await self.executor.take_over()
        return self

    async def send(self, *commands: cmd.Command) -> None:
        records = [Outgoing(COMMANDS, command.execution_id, cmd.encode(command)) for command in commands]
        await self.platform.bus.append(records)

    async def drain(self, executor: Executor | None = None) -> None:
        while await (executor or self.executor).step(0):
            pass

    async def state(self, id_: str) -> str | None:
        found = (await self.platform.executions.load([id_])).get(id_)
        return found.state.value if found is not None else None


def start(id_: str, flow: str = "log") -> cmd.StartExecution:
    return cmd.StartExecution(execution_id=id_, namespace="n", flow_id=flow)


async def test_a_batch_of_starts_is_one_commit() -> None:
    w = await World().open(LOG)
    await w.send(*(start(f"E{n}") for n in range(50)))
    await w.drain()
    assert [await w.state(f"E{n}") for n in range(50)] == ["SUCCESS"] * 50
    assert w.executor.batches == 1
    assert w.executor.records == 50


async def test_the_same_start_twice_runs_once() -> None:
    w = await World().open(LOG)
    await w.send(start("E"), start("E"))
    await w.drain()
    await w.send(start("E"))
    await w.drain()
    events = await w.platform.queries.events("E")
    assert sum(type(event).__name__ == "ExecutionCreated" for event in events) == 1


async def test_a_message_that_can_not_be_read_becomes_a_dead_letter_and_the_rest_goes_on() -> None:
    w = await World().open(LOG)
    await w.platform.bus.append(
        [Outgoing(COMMANDS, "E", b"\xff{"), Outgoing(COMMANDS, "E", b'{"type":"from_the_future"}')]
    )
    await w.send(start("E"))
    await w.drain()
    assert await w.state("E") == "SUCCESS"
    dead = w.platform.executions.tables.dead  # type: ignore[attr-defined]
    assert [letter.body for letter in dead] == [b"\xff{", b'{"type":"from_the_future"}']


async def test_a_command_that_makes_the_engine_raise_fails_its_execution_visibly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    w = await World().open(LOG)
    real = engine.decide

    def decide(execution: object, flow: object, command: cmd.Command, *more: object) -> object:
        if isinstance(command, cmd.PauseExecution):
            raise ZeroDivisionError("planted")
        return real(execution, flow, command, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(batch_module.engine, "decide", decide)
    sleeping = (
        LOG.replace("id: log", "id: slow")
        .replace("core.log.Log", "core.flow.Sleep")
        .replace('message: "{{ execution.id }}"', "duration: PT1H")
    )
    await w.platform.flows.save(FlowRow(namespace="n", id="slow", revision=0, source=sleeping, updated=1))
    await w.send(start("E0"), start("S", "slow"), cmd.PauseExecution(execution_id="S"), start("E1"))
    await w.drain()
    assert [await w.state(id_) for id_ in ("E0", "S", "E1")] == ["SUCCESS", "FAILED", "SUCCESS"]
    failed = (await w.platform.executions.load(["S"]))["S"]
    assert failed.error == "ZeroDivisionError: planted"
    (letter,) = w.platform.executions.tables.dead  # type: ignore[attr-defined]
    assert "planted" in letter.reason
    assert "Traceback" in (letter.detail or "")


async def test_a_start_that_makes_the_engine_raise_is_an_execution_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    w = await World().open(LOG)
    real = engine.decide

    def decide(execution: object, flow: object, command: cmd.Command, *more: object) -> object:
        if isinstance(command, cmd.StartExecution) and command.failure is None and command.execution_id == "S":
            raise ZeroDivisionError("planted")
        return real(execution, flow, command, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(batch_module.engine, "decide", decide)
    await w.send(start("E0"), start("S"), start("E1"))
    await w.drain()
    assert [await w.state(id_) for id_ in ("E0", "S", "E1")] == ["SUCCESS", "FAILED", "SUCCESS"]
    failed = (await w.platform.executions.load(["S"]))["S"]
    assert "ZeroDivisionError: planted" in (failed.error or "")


async def test_a_record_whose_fault_raises_too_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    w = await World().open(LOG)
    real = engine.decide

    def decide(execution: object, flow: object, command: cmd.Command, *more: object) -> object:
        if command.execution_id == "S":
            raise ZeroDivisionError("planted")
        return real(execution, flow, command, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(batch_module.engine, "decide", decide)
    await w.send(start("E0"), start("S"), start("E1"))
    await w.drain()
    assert [await w.state(id_) for id_ in ("E0", "S", "E1")] == ["SUCCESS", None, "SUCCESS"]
    assert len(w.platform.executions.tables.dead) == 1  # type: ignore[attr-defined]


async def test_an_executor_that_was_replaced_is_fenced() -> None:
    w = await World().open(LOG)
    await w.parts.partitions.leave()  # as when its lease ran out
    other = Parts(w.platform).executor
    await other.take_over()
    await w.send(start("E"))
    with pytest.raises(Transient):
        await w.executor.step(0)
    assert await w.state("E") is None
    await w.drain(other)
    assert await w.state("E") == "SUCCESS"


async def test_what_was_committed_but_not_sent_is_sent_by_the_next_owner() -> None:
    w = await World().open(LOG, PARENT)
    real = w.platform.bus.append
    broken = True

    async def append(records: Sequence[Outgoing]) -> None:
        if broken:
            raise Transient("the bus is away")
        await real(records)

    await w.send(start("P", "parent"))
    w.platform.bus.append = append  # type: ignore[method-assign]
    with pytest.raises(Transient):
        await w.drain()
    assert await w.state("P") == "RUNNING"
    broken = False
    await w.executor.take_over()
    await w.drain()
    assert await w.state("P") == "SUCCESS"


async def test_a_lost_answer_to_the_commit_applies_nothing_twice() -> None:
    w = await World().open(LOG)
    store = w.platform.executions
    real = store.commit
    lost = True

    async def commit(batch: Commit) -> list[tuple[str, str]]:
        nonlocal lost
        answer = await real(batch)
        if lost:
            lost = False
            raise Transient("the connection broke after COMMIT")
        return answer

    store.commit = commit  # type: ignore[method-assign]
    await w.send(start("E"))
    with pytest.raises(Transient):
        await w.executor.step(0)
    await w.executor.take_over()
    await w.drain()
    assert await w.state("E") == "SUCCESS"
    x = (await store.load(["E"]))["E"]
    assert engine.fold(await w.platform.queries.events("E")).seq == x.seq


async def test_slots_of_one_batch_are_counted_together() -> None:
    w = await World().open(LIMITED)
    await w.send(*(start(f"L{n}", "limited") for n in range(3)))
    await w.drain()
    assert [await w.state(f"L{n}") for n in range(3)] == ["RUNNING", "QUEUED", "QUEUED"]
    await w.send(cmd.KillExecution(execution_id="L0"))
    await w.drain()
    assert [await w.state(f"L{n}") for n in range(3)] == ["KILLED", "RUNNING", "QUEUED"]


async def test_a_start_of_a_flow_that_is_gone_or_broken_is_kept_as_a_dead_letter() -> None:
    w = await World().open(BROKEN)
    await w.send(start("A", "nope"), start("B", "broken"))
    await w.drain()
    reasons = [letter.reason for letter in w.platform.executions.tables.dead]  # type: ignore[attr-defined]
    assert sorted("n.nope" in reason for reason in reasons) == [False, True]
    assert len(reasons) == 2


async def test_timers_fire_once_and_late_ones_do_nothing() -> None:
    w = World()
    nap = LOG.replace("core.log.Log", "core.flow.Sleep").replace('message: "{{ execution.id }}"', "duration: PT0.05S")
    await w.open(nap)
    await w.send(start("E"))
    await w.drain()
    assert await w.timers.fire() == 0
    await asyncio.sleep(0.06)
    assert await w.timers.fire() == 1
    assert await w.timers.fire() == 0
    await w.drain()
    assert await w.state("E") == "SUCCESS"


async def test_the_relay_offset_is_saved_when_nothing_else_is_to_do() -> None:
    w = await World().open(LOG, PARENT)
    await w.send(start("P", "parent"))
    await w.drain()
    await w.executor.step(0)
    again = await w.platform.executions.own(range(w.platform.bus.partitions), "next")
    assert all(owned.relay_off == owned.out_next for owned in again)


async def test_ended_executions_leave_the_cache() -> None:
    w = await World().open(LOG)
    await w.send(start("E"))
    await w.drain()
    assert w.executor._cache.get("E") is None
    assert State("SUCCESS").is_terminal


async def test_an_execution_that_was_purged_meanwhile_does_not_stop_the_executor() -> None:
    w = await World().open(LOG)
    store = w.platform.executions
    real, conflicts, stop = store.commit, [SequenceConflict("purged")], asyncio.Event()

    async def commit(batch: Commit) -> list[tuple[str, str]]:
        if batch.writes and conflicts:
            raise conflicts.pop()
        return await real(batch)

    store.commit = commit  # type: ignore[method-assign]
    await w.send(start("E"))
    running = asyncio.create_task(w.executor.run(stop))
    while await w.state("E") is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    stop.set()
    await running
    assert await w.state("E") == "SUCCESS"


async def test_a_second_writer_stops_the_executor_loudly() -> None:
    w = await World().open(LOG)

    async def commit(batch: Commit) -> list[tuple[str, str]]:
        raise SequenceConflict("somebody else writes")

    w.platform.executions.commit = commit  # type: ignore[method-assign]
    await w.send(start("E"))
    with pytest.raises(SequenceConflict):
        await w.executor.run(asyncio.Event())


async def test_a_timer_fires_when_it_is_due_and_not_at_the_next_look() -> None:
    w = World()
    nap = LOG.replace("core.log.Log", "core.flow.Sleep").replace('message: "{{ execution.id }}"', "duration: PT0.2S")
    await w.open(nap)
    stop = asyncio.Event()
    running = [asyncio.create_task(part(stop)) for part in (w.executor.run, w.timers.run)]
    await w.send(start("A"))
    await asyncio.sleep(0.1)
    await w.send(start("B"))
    async with asyncio.timeout(0.9):
        while await w.state("B") != "SUCCESS" or await w.state("A") != "SUCCESS":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*running)
