"""Announcements reach whoever waits, and only a hint is promised."""

from __future__ import annotations

import asyncio

from levada.model.states import State
from levada.runtime.hub import BACKLOG, Change, Hub


async def test_a_waiter_hears_the_next_change() -> None:
    hub = Hub()
    waiting = asyncio.create_task(hub.wait("e1", 5))
    await asyncio.sleep(0)
    hub.announce("e2", State.SUCCESS, True)
    hub.announce("e1", State.RUNNING, False)
    assert await waiting == Change("e1", State.RUNNING, False)


async def test_of_changes_announced_together_a_waiter_hears_the_last() -> None:
    hub = Hub()
    waiting = asyncio.create_task(hub.wait("e1", 5))
    await asyncio.sleep(0)
    hub.announce("e1", State.RUNNING, False)
    hub.announce("e1", State.SUCCESS, True)
    assert await waiting == Change("e1", State.SUCCESS, True)


async def test_a_waiter_gives_up_in_time() -> None:
    hub = Hub()
    assert await hub.wait("e1", 0.01) is None
    assert await hub.wait("e1", -1) is None


async def test_all_waiters_hear_and_nothing_is_left_behind() -> None:
    hub = Hub()
    waiting = [asyncio.create_task(hub.wait("e1", 5)) for _ in range(3)]
    cancelled = asyncio.create_task(hub.wait("e1", 5))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    hub.announce("e1", State.SUCCESS, True)
    assert [change.state for change in await asyncio.gather(*waiting) if change] == [State.SUCCESS] * 3
    assert cancelled.cancelled()
    assert hub._waiting == {}


async def test_subscribers_get_every_change_in_order_of_one_or_of_all() -> None:
    hub = Hub()
    one, everything = hub.subscribe("e1"), hub.subscribe()
    first = asyncio.create_task(anext(one))
    every = asyncio.create_task(anext(everything))
    await asyncio.sleep(0)
    hub.announce("e2", State.RUNNING, False)
    hub.announce("e1", State.RUNNING, False)
    hub.announce("e1", State.SUCCESS, True)
    assert [(await first).state, (await anext(one)).state] == [State.RUNNING, State.SUCCESS]
    assert [(await every).execution_id, (await anext(everything)).execution_id] == ["e2", "e1"]
    await one.aclose()
    await everything.aclose()
    assert hub._subscribers == {}


async def test_a_slow_subscriber_loses_the_oldest_changes() -> None:
    hub = Hub()
    changes = hub.subscribe()
    first = asyncio.create_task(anext(changes))
    await asyncio.sleep(0)
    for number in range(BACKLOG + 5):
        hub.announce(str(number), State.RUNNING, False)
    assert (await first).execution_id == "5"
    await changes.aclose()
