"""What people asked for in one order is applied in this order, whatever the bus made of it."""

from __future__ import annotations

from collections.abc import Sequence

from levada.bus.port import COMMANDS, Record
from levada.model import commands as cmd
from levada.model.states import State
from levada.store.memory import MemoryIngress, Tables
from levada.store.port import Accepted
from levada_executor import ordering
from levada_executor.ordering import NOT_FROM_THE_BUS, Work


class Table(MemoryIngress):
    """Counts how often it was asked."""

    asked = 0

    async def of(self, partitions: Sequence[int], keys: Sequence[str]) -> list[Accepted]:
        self.asked += 1
        return await super().of(partitions, keys)


def label(n: int, key: str = "E") -> tuple[str, cmd.Command]:
    return f"{key}{n}", cmd.SetLabels(execution_id=key, labels=[("n", str(n))])


def start(key: str = "E") -> tuple[str, cmd.Command]:
    return f"{key}0", cmd.StartExecution(execution_id=key, namespace="n", flow_id="f")


async def accepted(*commands: tuple[str, cmd.Command]) -> Table:
    table = Table(Tables())
    for id, command in commands:
        await table.accept([Accepted(id, 3, 7, command.execution_id, cmd.encode(command))])
    return table


def on_the_bus(*commands: tuple[str, cmd.Command]) -> list[Work]:
    """As they come from the bus, from offset 10 on."""
    return ordering.read(
        [Record(COMMANDS, 3, 10 + n, one.execution_id, cmd.encode(one), id) for n, (id, one) in enumerate(commands)]
    )


def applied(work: Sequence[Work]) -> list[str]:
    return [one.record.id for one in work if not one.repeated]


async def test_a_command_that_was_overtaken_goes_first() -> None:
    table = await accepted(label(1), label(2), label(3))
    work = await ordering.in_order(on_the_bus(label(1), label(3)), table)
    assert applied(work) == ["E1", "E2", "E3"]
    assert [one.record.offset for one in work] == [10, NOT_FROM_THE_BUS, 11]
    assert work[1].command == label(2)[1]


async def test_a_kill_does_not_come_before_the_start() -> None:
    kill = ("K", cmd.KillExecution(execution_id="E"))
    table = await accepted(start(), kill)
    assert applied(await ordering.in_order(on_the_bus(kill), table)) == ["E0", "K"]


async def test_those_that_come_in_the_wrong_order_in_one_batch_change_places() -> None:
    table = await accepted(label(1), label(2), label(3))
    work = await ordering.in_order(on_the_bus(label(3), label(1), label(2)), table)
    assert applied(work) == ["E1", "E2", "E3"]
    assert [one.record.offset for one in work] == [NOT_FROM_THE_BUS, NOT_FROM_THE_BUS, 10, 11, 12]
    assert [one.repeated for one in work] == [False, False, False, True, True]


async def test_others_are_left_as_they_are() -> None:
    table = await accepted(label(1, "A"), label(1), label(2), label(1, "B"))
    work = on_the_bus(label(1, "B"), start("C"), label(1), label(2))
    assert await ordering.in_order(work, table) == work


async def test_what_was_applied_before_is_left_to_the_commit() -> None:
    table = await accepted(label(2))
    work = on_the_bus(label(1), label(2))
    assert await ordering.in_order(work, table) == work


async def test_nobody_is_asked_about_the_commands_of_machines() -> None:
    table = await accepted(start(), start("F"))
    work = on_the_bus(start("F"), ("T", cmd.TimerFired(execution_id="E", kind="sla", seq=1)))
    assert await ordering.in_order(work, table) == work
    assert table.asked == 0


async def test_ordering_twice_changes_nothing() -> None:
    table = await accepted(label(1), label(2), label(3))
    once = await ordering.in_order(on_the_bus(label(3), label(1)), table)
    assert await ordering.in_order(once, table) == once


def begun(attempt: int = 1) -> tuple[str, cmd.Command]:
    return f"B{attempt}", cmd.TaskStarted(
        execution_id="E", task_run_id="t", attempt=attempt, token="x", worker="w", at=1
    )


def result(attempt: int = 1) -> tuple[str, cmd.Command]:
    return f"R{attempt}", cmd.TaskFinished(
        execution_id="E", task_run_id="t", attempt=attempt, token="x", state=State.SUCCESS, at=2
    )


async def test_a_result_that_overtook_its_start_waits_for_it() -> None:
    table = await accepted(begun(), result())
    work = await ordering.in_order(on_the_bus(result()), table, lambda one: True)
    assert applied(work) == ["B1", "R1"]
    assert [one.record.offset for one in work] == [NOT_FROM_THE_BUS, 10]
    both = await ordering.in_order(on_the_bus(result(), begun()), table, lambda one: True)
    assert applied(both) == ["B1", "R1"]


def lost(attempt: int = 1) -> tuple[str, cmd.Command]:
    return f"L{attempt}", cmd.WorkerLost(execution_id="E", task_run_id="t", attempt=attempt, token="x")


async def test_the_loss_of_a_worker_waits_for_what_the_worker_had_said() -> None:
    """The bus lost the start and the result; the lease ran out before the reconciler sent them again."""
    table = await accepted(begun(), result(), lost())
    assert applied(await ordering.in_order(on_the_bus(lost()), table)) == ["B1", "R1", "L1"]


async def test_brackets_without_end_are_a_message_that_can_not_be_read() -> None:
    (work,) = ordering.read([Record(COMMANDS, 3, 10, "E", b'{"a":' * 100_000)])
    assert work.command is None


async def test_nobody_is_asked_about_results_whose_start_is_known() -> None:
    table = await accepted(begun(), result())
    for work, known in ((on_the_bus(begun(), result()), False), (on_the_bus(result()), True)):
        assert await ordering.in_order(work, table, lambda one, known=known: not known) == work  # type: ignore[misc]
    assert table.asked == 0
