"""Heads, order numbers and texts as they go into columns."""

from __future__ import annotations

from worlds import add_run, execution

from levada.model.states import State
from levada.store import encoding
from levada.store.postgres.composed import composed


def test_a_head_holds_every_field_but_those_of_memory() -> None:
    made = execution("e1", inputs={"a": 1}, labels=[("k", "v")])
    add_run(made, "a")
    made.tree = {"x": 1}
    head = encoding.head_from(encoding.head_text(made))
    assert head == encoding.head_of(made)
    assert not hasattr(head, "task_runs")
    assert (
        encoding.execution_from(encoding.head_text(made), [encoding.task_run_text(made.task_runs["a"])]).task_runs
        == made.task_runs
    )


def test_new_task_runs_are_numbered_behind_all_that_were_written_before() -> None:
    made = execution("e1")
    for id in "abc":
        add_run(made, id)
    first = encoding.numbered(made, 0)
    made.dirty = {"a"}
    for id in "de":
        add_run(made, id)
    later = encoding.numbered(made, 1)
    assert [first[id] for id in "abc"] == [0, 1, 2]
    assert set(later) == {"d", "e"}
    assert max(first.values()) < later["d"] < later["e"]


def test_only_ended_executions_have_an_end() -> None:
    assert encoding.ended(execution("e1")) is None
    assert encoding.ended(execution("e1", at=5, state=State.SUCCESS)) == 5


def test_no_column_is_given_a_nul() -> None:
    assert encoding.clean("a\x00b") == "a\ufffdb"
    assert "\\u0000" not in encoding.labels_text([("a", "\x00")])


def test_every_part_of_a_commit_gets_parameters_of_its_own() -> None:
    held = [[0], [1], [None], [None], [None]]
    parts = [("insert_events", [1, 2, 3, 4]), ("drop_timers", [5, 6, 7])]
    sql, arguments = composed(held, [("e1",), (3,)], ["a", "b"], parts)
    assert arguments == [1, 1, 2, *held, ("e1",), (3,), ["a", "b"], 1, 2, 3, 4, 5, 6, 7]
    for number in range(1, len(arguments) + 1):
        assert f"${number}" in sql
    assert f"${len(arguments) + 1}" not in sql
