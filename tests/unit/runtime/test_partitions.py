"""Fair shares of partitions: whoever is alive, they add up and come out even."""

from hypothesis import given
from hypothesis import strategies as st

from levada.runtime import metrics
from levada.runtime.clock import SystemClock
from levada.runtime.partitions import Partitions, share_of
from levada.store.memory import MemoryMembers
from levada.store.memory.tables import Tables


class MovableClock(SystemClock):
    us = 1_000_000

    def now_us(self) -> int:
        return self.us


names = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=9, unique=True).map(sorted)


@given(names, st.integers(1, 64))
def test_shares_add_up_to_all_partitions_and_differ_by_one_at_most(living: list[str], count: int) -> None:
    owners = dict.fromkeys(range(count))
    due = [share_of(name, living, owners).due for name in living]
    assert sum(due) == count
    assert max(due) - min(due) <= 1


@given(names, st.data())
def test_a_share_says_what_is_mine_and_what_is_free(living: list[str], data: st.DataObject) -> None:
    owners = data.draw(st.dictionaries(st.integers(0, 20), st.none() | st.sampled_from(living), min_size=1))
    shares = [share_of(name, living, owners) for name in living]
    assert sum(len(share.mine) for share in shares) + shares[0].free == len(owners)


def test_who_is_not_counted_as_living_yet_counts_itself() -> None:
    assert share_of("b", ["a"], dict.fromkeys(range(4))).due == 2


async def test_the_pause_of_a_partition_is_measured_by_who_takes_it() -> None:
    clock, tables = MovableClock(), Tables()
    members = MemoryMembers(tables, now_us=clock.now_us)
    one, two = (
        Partitions(members, service="s", name=name, topic="pauses", partitions=2, clock=clock, lease_s=2.0)
        for name in ("one", "two")
    )
    await one.beat()
    await one.take(())
    assert metrics.REBALANCE_PAUSE.count("pauses") == 0  # nobody had them before
    clock.us += 5_000_000  # one is frozen: its lease ran out three seconds ago
    await two.beat()
    assert [taken.partition for taken in await two.take(())] == [0, 1]
    assert metrics.REBALANCE_PAUSE.count("pauses") == 2
    assert metrics.REBALANCE_PAUSE.total("pauses") == 6
    await two.give_back([0, 1])
    clock.us += 2 * 3600 * 1_000_000  # switched off for the night
    await one.beat()
    await one.take(())
    assert metrics.REBALANCE_PAUSE.count("pauses") == 2
