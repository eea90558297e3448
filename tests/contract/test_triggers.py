"""What every store of schedules promises: every date is fired once, and nothing that was fired is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from worlds import Owner, World, changed, created, execution

from levada.model.execution import Execution
from levada.model.states import State
from levada.store.port import FlowRow
from levada.store.triggers import Declared, DeliveryKey, Due, Fire, FlowSchedules, Step, uid

FORMAT = 3
NAMESPACE = "company.team"


async def saved(world: World, id: str = "f", source: str = "one", **fields: Any) -> FlowRow:
    row: FlowRow = await world.flows.save(
        FlowRow(namespace=NAMESPACE, id=id, revision=0, source=source, updated=5, **fields)
    )
    return row


def schedules(row: FlowRow, *ids: str, error: str | None = None, **fields: Any) -> FlowSchedules:
    return FlowSchedules(
        tenant=row.tenant,
        namespace=row.namespace,
        flow_id=row.id,
        revision=row.revision,
        error=error,
        schedules=[
            Declared(
                **{
                    "tenant": row.tenant,
                    "namespace": row.namespace,
                    "flow_id": row.id,
                    "trigger_id": id,
                    "type": "core.trigger.Schedule",
                    "definition": "{}",
                    "signature": "s",
                }
                | fields
            )
            for id in ids
        ],
    )


async def scheduled(world: World, *ids: str, **fields: Any) -> list[Due]:
    """Declare schedules of one flow and return them as they are due at once: as probes."""
    row = await saved(world)
    assert await world.triggers.declare(FORMAT, [schedules(row, *ids, **fields)]) == 1
    return await due(world)


async def due(world: World, **options: Any) -> list[Due]:
    found: list[Due] = await world.triggers.due(await world.triggers.now(), 100, **options)
    return found


def step(of: Due, next_slot: int | None, *fires: Fire, **fields: Any) -> Step:
    return Step(uid=of.uid, revision=of.revision, expected=of.next_slot, next_slot=next_slot, fires=fires, **fields)


def fire(slot: int, id: str | None = None) -> Fire:
    return Fire(slot, id if id is not None else f"x{slot}", b"command")


async def state(world: World, trigger_id: str = "a") -> Any:
    return next(each for each in await world.triggers.states("main", NAMESPACE) if each.trigger_id == trigger_id)


Put = Callable[[str, State], Awaitable[None]]


@pytest.fixture
async def executions(world: World) -> Put:
    """Return a function that puts an execution into a state, creating it first."""
    owner = await Owner(world.executions).own()
    known: dict[str, Execution] = {}

    async def put(id: str, state: State) -> None:
        if id in known:
            await owner.commit(changed(known[id], state=state))
        else:
            known[id] = execution(id, state=state)
            await owner.commit(created(known[id]))

    return put


# --- firing


async def test_a_new_schedule_is_looked_at_at_once(world: World) -> None:
    now = await world.triggers.now()
    (one,) = await scheduled(world, "a")
    assert one.probe
    assert one.uid == uid("main", NAMESPACE, "f", "a")
    assert now <= one.next_slot <= await world.triggers.now()


async def test_a_step_fires_and_moves_on(world: World) -> None:
    (one,) = await scheduled(world, "a")
    now = await world.triggers.now()
    assert await world.triggers.advance([step(one, now + 9_000_000, fire(7))]) == [fire(7)]
    assert await due(world) == []
    assert await world.triggers.upcoming(now) == now + 9_000_000
    found = await state(world)
    assert (found.last_slot, found.last_execution, found.next_slot) == (7, "x7", now + 9_000_000)


async def test_of_two_steps_from_the_same_state_one_is_taken(world: World) -> None:
    ones = await scheduled(world, "a", "b", "c")
    other = await world.neighbour()
    now = await world.triggers.now()
    steps = [step(one, now + 9_000_000, fire(7, f"{one.uid}-7")) for one in ones]
    taken = await asyncio.gather(*(store.triggers.advance(steps) for store in (world, other) * 3))
    assert sorted(each.execution_id for fired in taken for each in fired) == sorted(f"{one.uid}-7" for one in ones)
    await other.close()


async def test_a_date_is_never_fired_twice_even_if_the_schedule_is_put_back(world: World) -> None:
    (one,) = await scheduled(world, "a", allow_concurrent=True)
    await world.triggers.advance([step(one, 1, fire(7))])
    (again,) = await due(world)
    assert await world.triggers.advance([step(again, 2, fire(7), fire(8))]) == [fire(8)]


async def test_what_was_fired_and_not_sent_is_found(world: World) -> None:
    (one,) = await scheduled(world, "a")
    await world.triggers.advance([step(one, None, fire(7), fire(8))])
    await world.triggers.sent(["x7"])
    assert await world.triggers.unsent(2_000_000, 10) == []
    world.clock.pass_s(3)
    assert await world.triggers.unsent(2_000_000, 10) == [fire(8)]
    assert await world.triggers.unsent(2_000_000, 10) == []  # somebody is at it
    world.clock.pass_s(3)
    assert await world.triggers.unsent(2_000_000, 10) == [fire(8)]


async def test_sent_dates_are_forgotten_after_a_while(world: World) -> None:
    (one,) = await scheduled(world, "a")
    await world.triggers.advance([step(one, None, fire(7), fire(8))])
    await world.triggers.sent(["x7"])
    later = await world.triggers.now() + 1
    assert await world.triggers.purge_fired(later, 10) == 1
    world.clock.pass_s(3)
    assert await world.triggers.unsent(0, 10) == [fire(8)]


async def test_the_latest_dates_come_first(world: World) -> None:
    now = await world.triggers.now()
    ones = await scheduled(world, "a", "b", "c")
    ago = {"a": 50, "b": 10, "c": 90}
    await world.triggers.advance([step(one, now - ago[one.uid[-1]]) for one in ones])
    assert [one.uid[-1] for one in await world.triggers.due(now, 2)] == ["b", "a"]


async def test_shares_are_disjoint_and_the_neglected_are_for_all(world: World) -> None:
    ids = [f"t{n}" for n in range(40)]
    ones = await scheduled(world, *ids)
    now = await world.triggers.now()
    await world.triggers.advance([step(one, now) for one in ones])
    parts = [{one.uid for one in await world.triggers.due(now, 100, share=(n, 3), grace_us=1000)} for n in range(3)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts)) == 40
    assert len(await world.triggers.due(now + 2000, 100, share=(1, 3), grace_us=1000)) == 40


# --- one at a time


async def test_a_date_waits_for_the_execution_before_it(world: World, executions: Put) -> None:
    (one,) = await scheduled(world, "a")
    now = await world.triggers.now()
    await world.triggers.advance([step(one, now, fire(7))])
    assert await due(world) == []  # it was asked for and is not there yet
    await executions("x7", State.RUNNING)
    assert await due(world) == []
    assert (await state(world)).waits_for == "x7"
    await executions("x7", State.SUCCESS)
    assert [each.next_slot for each in await due(world)] == [now]
    assert (await state(world)).waits_for is None


async def test_when_to_look_again(world: World) -> None:
    one, two = await scheduled(world, "a", "b")
    now = await world.triggers.now()
    assert await world.triggers.advance([step(one, now - 300_000), step(two, now + 900_000)]) == []
    assert await world.triggers.upcoming(now) == now + 900_000
    assert await world.triggers.upcoming(now, 500_000) == now + 200_001  # somebody else's until then
    (one,) = [each for each in await due(world) if each.uid == one.uid]
    await world.triggers.advance([step(one, now - 1, fire(7))])
    soon = await world.triggers.upcoming(now + 400_000)
    fired = (await state(world, one.uid[-1])).last_fired
    assert soon == now + 400_000 + max((now + 400_000 - fired) // 4, 50_000)


async def test_a_start_that_became_nothing_is_waited_for_some_minutes_only(world: World) -> None:
    (one,) = await scheduled(world, "a")
    await world.triggers.advance([step(one, await world.triggers.now(), fire(7))])
    assert await due(world) == []
    world.clock.pass_s(301)
    assert len(await due(world)) == 1


async def test_schedules_that_allow_it_wait_for_nothing(world: World, executions: Put) -> None:
    (one,) = await scheduled(world, "a", allow_concurrent=True)
    await world.triggers.advance([step(one, await world.triggers.now(), fire(7))])
    await executions("x7", State.RUNNING)
    assert len(await due(world)) == 1


async def test_stop_after_names_the_execution(world: World, executions: Put) -> None:
    (one,) = await scheduled(world, "a", stop_after=["FAILED", "KILLED"])
    await world.triggers.advance([step(one, await world.triggers.now(), fire(7))])
    await executions("x7", State.FAILED)
    (stopped,) = await due(world)
    assert stopped.stopped_by == "x7 ended FAILED"
    await world.triggers.advance([step(stopped, None, stop=True, note="stopped")])
    assert (await state(world)).disabled
    assert await world.triggers.switch(one.uid, True)
    (again,) = await due(world)
    assert again.probe
    assert again.stopped_by is None


# --- declaring


async def test_only_revisions_that_are_not_declared_are_outdated(world: World) -> None:
    row = await saved(world)
    found, mark = await world.triggers.outdated(FORMAT, None, 10)
    assert found == [row]
    await world.triggers.declare(FORMAT, [schedules(row, "a")])
    assert (await world.triggers.outdated(FORMAT, None, 10))[0] == []
    assert (await world.triggers.outdated(FORMAT + 1, None, 10))[0] == [row]
    assert (await world.triggers.outdated(FORMAT, mark, 10))[0] == []
    second = await saved(world, source="two")
    assert (await world.triggers.outdated(FORMAT, mark, 10))[0] == [second]


async def test_drafts_do_not_count_but_deleting_does(world: World) -> None:
    row = await saved(world)
    await world.triggers.declare(FORMAT, [schedules(row, "a")])
    await saved(world, source="draft", draft=True)
    assert (await world.triggers.outdated(FORMAT, None, 10))[0] == []
    deleted = await world.flows.delete("main", NAMESPACE, "f", 9)
    (found,), _ = await world.triggers.outdated(FORMAT, None, 10)
    assert found == deleted
    await world.triggers.declare(FORMAT, [schedules(found)])
    assert await world.triggers.states("main") == []


async def test_an_old_revision_is_not_declared(world: World) -> None:
    first, second = await saved(world), await saved(world, source="two")
    assert await world.triggers.declare(FORMAT, [schedules(first, "a")]) == 0
    assert await world.triggers.declare(FORMAT, [schedules(second, "b")]) == 1
    assert [each.trigger_id for each in await world.triggers.states("main")] == ["b"]


async def test_the_next_date_stays_while_the_dates_do(world: World) -> None:
    (one,) = await scheduled(world, "a")
    later = await world.triggers.now() + 60_000_000
    await world.triggers.advance([step(one, later)])
    second = await saved(world, source="two")
    await world.triggers.declare(FORMAT, [schedules(second, "a", definition='{"new": 1}')])
    found = await state(world)
    assert (found.next_slot, found.revision, found.probe) == (later, 2, False)
    third = await saved(world, source="three")
    await world.triggers.declare(FORMAT, [schedules(third, "a", signature="other")])
    assert (await state(world)).probe
    assert (await state(world)).next_slot < later


async def test_a_step_of_an_old_revision_is_not_taken(world: World) -> None:
    (one,) = await scheduled(world, "a")
    second = await saved(world, source="two")
    await world.triggers.declare(FORMAT, [schedules(second, "a")])
    assert await world.triggers.advance([step(one, None, fire(7))]) == []


async def test_a_schedule_that_is_inactive_has_no_date_and_begins_anew_afterwards(world: World) -> None:
    (one,) = await scheduled(world, "a")
    await world.triggers.advance([step(one, await world.triggers.now() - 1000)])
    off = await saved(world, source="two")
    await world.triggers.declare(FORMAT, [schedules(off, "a", active=False)])
    assert (await state(world)).next_slot is None
    world.clock.pass_s(100)
    on = await saved(world, source="three")
    await world.triggers.declare(FORMAT, [schedules(on, "a")])
    (again,) = await due(world)
    assert again.probe
    assert again.next_slot > one.next_slot + 99_000_000


async def test_a_flow_that_can_not_be_read_stops_and_says_so(world: World) -> None:
    await scheduled(world, "a")
    broken = await saved(world, source="two")
    await world.triggers.declare(FORMAT, [schedules(broken, error="no such task type")])
    found = await state(world)
    assert (found.next_slot, found.error) == (None, "no such task type")
    assert (await world.triggers.outdated(FORMAT, None, 10))[0] == []
    await world.triggers.retry_broken()
    assert (await world.triggers.outdated(FORMAT, None, 10))[0] == [broken]
    await world.triggers.declare(FORMAT, [schedules(broken, "a")])
    assert (await state(world)).error is None
    assert len(await due(world)) == 1


async def test_flows_without_any_revision_are_forgotten(world: World) -> None:
    await scheduled(world, "a")
    assert await world.triggers.vanished() == []
    await world.flows.delete_revisions("main", NAMESPACE, "f", [1])
    gone = await world.triggers.vanished()
    assert gone == [("main", NAMESPACE, "f")]
    await world.triggers.forget(gone)
    assert await world.triggers.states("main") == []
    assert await world.triggers.vanished() == []


async def test_switching_off_and_on(world: World) -> None:
    (one,) = await scheduled(world, "a")
    later = await world.triggers.now() + 60_000_000
    await world.triggers.advance([step(one, later)])
    assert await world.triggers.switch(one.uid, True)
    assert (await state(world)).next_slot == later  # it was on
    assert await world.triggers.switch(one.uid, False)
    assert (await state(world)).next_slot is None
    second = await saved(world, source="two")
    await world.triggers.declare(FORMAT, [schedules(second, "a", signature="other")])
    assert (await state(world)).next_slot is None  # saving does not switch on
    assert await world.triggers.switch(one.uid, True)
    (again,) = await due(world)
    assert again.probe
    assert not await world.triggers.switch("main/no/such/thing", True)


async def test_errors_and_notes_are_kept(world: World) -> None:
    (one,) = await scheduled(world, "a")
    await world.triggers.advance([step(one, 5, error="bad\x00", note="left out", skipped=3)])
    found = await state(world)
    assert found.error.startswith("bad")
    assert (found.note, found.skipped) == ("left out", 3)
    (again,) = await due(world)
    await world.triggers.advance([step(again, 6, skipped=1)])
    found = await state(world)
    assert (found.error, found.note, found.skipped) == (None, "left out", 4)


async def test_the_tally(world: World) -> None:
    one, two, _ = await scheduled(world, "a", "b", "c")
    await world.triggers.advance([step(one, 5, error="bad")])
    await world.triggers.switch(two.uid, False)
    assert await world.triggers.tally() == (2, 1)


# --- deliveries


async def test_the_first_claim_of_a_key_counts(world: World) -> None:
    claims = await asyncio.gather(
        *(world.deliveries.claim(DeliveryKey("main", NAMESPACE, "f", "k"), f"x{n}", 10 + n) for n in range(5))
    )
    assert len(set(claims)) == 1
    id, at, sent = claims[0]
    assert not sent
    await world.deliveries.sent(DeliveryKey("main", NAMESPACE, "f", "k"))
    assert await world.deliveries.claim(DeliveryKey("main", NAMESPACE, "f", "k"), "late", 30) == (id, at, True)
    assert await world.deliveries.claim(DeliveryKey("main", NAMESPACE, "g", "k"), "y", 20) == ("y", 20, False)
    assert await world.deliveries.purge(20, 10) == 1
    assert await world.deliveries.claim(DeliveryKey("main", NAMESPACE, "f", "k"), "z", 30) == ("z", 30, False)
