"""Workers that wait together: who gets what, and that nothing is lost on those who leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from levada.jobs.dealing import Dealer, Dealt, Kind, Want, shared_out
from levada.model.errors import Transient
from levada.model.jobs import Claim, Job, JobTask


class Deck:
    """A table on which a test puts attempts; `gate` holds up a look in the middle."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.looks: list[list[str]] = []
        self.announced: list[str] = []
        self.returned: list[str] = []
        self.gate: asyncio.Event | None = None
        self.announcing: asyncio.Event | None = None
        self.problem: Exception | None = None
        self.dealer = Dealer(self, busy_poll_s=10, idle_poll_s=10)

    def put(self, *ids: str) -> None:
        self.waiting += ids
        self.dealer.notify()

    async def deal(self, kind: Kind, wants: Sequence[Want[Claim]]) -> list[list[Claim]]:
        self.looks.append([want.worker for want in wants])
        if self.problem is not None:
            raise self.problem
        order = shared_out([want.limit for want in wants])
        taken, self.waiting = self.waiting[: len(order)], self.waiting[len(order) :]
        if self.gate is not None:
            await self.gate.wait()
        found: list[list[Claim]] = [[] for _ in wants]
        for id, place in zip(taken, order, strict=False):
            found[place].append(_claim(id))
        return found

    async def announce(self, dealt: Dealt[Claim]) -> None:
        if self.announcing is not None:
            await self.announcing.wait()
        self.announced += [one.job.task_run_id for _, claims in dealt for one in claims]

    async def give_back(self, claims: Sequence[Claim]) -> None:
        self.returned += [one.job.task_run_id for one in claims]

    async def claim(self, worker: str, limit: int = 1, timeout_s: float = 5.0) -> list[str]:
        claims = await self.dealer.wait(worker, ["default"], (), limit, timeout_s)
        return [one.job.task_run_id for one in claims]


def _claim(id: str) -> Claim:
    job = Job(
        execution_id="e",
        task_run_id=id,
        attempt=1,
        namespace="n",
        flow_id="f",
        flow_revision=1,
        task=JobTask(id="t", type="x"),
    )
    return Claim(job=job, token=id, lease_until=0)


@pytest.fixture
async def deck() -> Deck:
    return Deck()


@pytest.mark.parametrize(
    ("limits", "order"),
    [([], []), ([0], []), ([3], [0, 0, 0]), ([1, 3], [1, 1, 0, 1]), ([2, 2], [0, 1, 0, 1]), ([1, 0, 2], [2, 0, 2])],
)
def test_whoever_has_most_slots_left_gets_the_next(limits: list[int], order: list[int]) -> None:
    assert shared_out(limits) == order


async def test_all_who_wait_are_looked_for_at_once(deck: Deck) -> None:
    waiting = [asyncio.create_task(deck.claim(f"w{n}")) for n in range(4)]
    await asyncio.sleep(0.01)
    deck.looks.clear()
    deck.put("a", "b", "c", "d")
    assert sorted(id for got in await asyncio.gather(*waiting) for id in got) == ["a", "b", "c", "d"]
    assert deck.looks == [["w0", "w1", "w2", "w3"]]
    assert sorted(deck.announced) == ["a", "b", "c", "d"]


async def test_who_comes_while_others_wait_is_looked_for_without_delay(deck: Deck) -> None:
    waiting = asyncio.create_task(deck.claim("early"))
    await asyncio.sleep(0.01)
    deck.waiting = ["a", "b"]  # and nobody says so
    assert await asyncio.wait_for(deck.claim("late"), 1)
    assert await asyncio.wait_for(waiting, 1)


async def test_a_timeout_waits_for_the_look_that_is_under_way(deck: Deck) -> None:
    deck.gate = asyncio.Event()
    deck.waiting = ["a"]
    waiting = asyncio.create_task(deck.claim("w", timeout_s=0.02))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    deck.gate.set()
    assert await waiting == ["a"]


async def test_a_timeout_with_nothing_there_is_an_empty_answer(deck: Deck) -> None:
    assert await deck.claim("w", timeout_s=0) == []
    assert await deck.claim("w", timeout_s=0.02) == []
    assert len(deck.looks) == 2


@pytest.mark.parametrize("phase", ["gate", "announcing"])
async def test_what_was_found_for_somebody_who_left_is_given_back(deck: Deck, phase: str) -> None:
    held = asyncio.Event()
    setattr(deck, phase, held)
    deck.waiting = ["a"]
    waiting = asyncio.create_task(deck.claim("w"))
    await asyncio.sleep(0.02)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    held.set()
    await asyncio.sleep(0.02)
    assert deck.announced == ["a"]
    assert deck.returned == ["a"]


async def test_who_left_before_gets_nothing(deck: Deck) -> None:
    waiting = asyncio.create_task(deck.claim("w"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    deck.put("a")
    assert await deck.claim("other") == ["a"]
    assert deck.returned == []


async def test_a_failed_look_is_told_to_those_it_was_for_and_the_next_one_works(deck: Deck) -> None:
    deck.problem = Transient("the database is away")
    with pytest.raises(Transient, match="away"):
        await deck.claim("w")
    deck.problem, deck.waiting = None, ["a"]
    assert await deck.claim("w") == ["a"]


async def test_looking_does_not_wait_for_the_announcement_of_others(deck: Deck) -> None:
    deck.announcing = asyncio.Event()
    deck.waiting = ["a"]
    first = asyncio.create_task(deck.claim("w1"))
    await asyncio.sleep(0.02)
    second = asyncio.create_task(deck.claim("w2"))
    await asyncio.sleep(0.02)
    assert deck.looks == [["w1"], ["w2"]]
    deck.announcing.set()
    deck.put("b")
    assert (await first, await second) == (["a"], ["b"])


async def test_closing_sends_everybody_away(deck: Deck) -> None:
    waiting = asyncio.create_task(deck.claim("w"))
    await asyncio.sleep(0.01)
    await deck.dealer.close()
    assert await waiting == []
    assert await deck.claim("w") == []
