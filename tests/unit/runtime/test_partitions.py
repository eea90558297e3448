"""Fair shares of partitions: whoever is alive, they add up and come out even."""

from hypothesis import given
from hypothesis import strategies as st

from levada.runtime.partitions import share_of

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
