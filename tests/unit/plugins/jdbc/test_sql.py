"""Reading SQL: what is code, where statements end, which colons are parameters."""

from __future__ import annotations

import pytest

from levada.plugins.jdbc.sql import bind_names, bind_positions, column_of, line_of, statements
from levada.sdk import TaskFailed


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1; select ';' ;", ["select 1", "select ';'"]),
        ("-- only; a comment\n/* and; /* nested; */ */;;", []),
        ("select $$;$$; select $a$ $$;$a$", ["select $$;$$", "select $a$ $$;$a$"]),
        ("select e'it\\'s; '; select 2", ["select e'it\\'s; '", "select 2"]),
        ('select ";""x;" from t', ['select ";""x;" from t']),
        ("select 'it''s;'", ["select 'it''s;'"]),
        ("begin; select ending; end; commit", ["begin", "select ending", "end", "commit"]),
        (
            "create function f() begin atomic select 1; select case when true then 1 end; end; select 2",
            ["create function f() begin atomic select 1; select case when true then 1 end; end", "select 2"],
        ),
        ("select 'unclosed; ", ["select 'unclosed;"]),
    ],
)
def test_statements_end_at_semicolons_that_are_code(sql: str, expected: list[str]) -> None:
    assert [statement.text for statement in statements(sql)] == expected


def test_a_statement_knows_where_it_begins() -> None:
    sql = "select 1;\n\n  select 2"
    second = statements(sql)[1]
    assert sql[second.start :] == "select 2"
    assert (line_of(sql, second.start), column_of(sql, second.start)) == (3, 3)


def test_names_become_numbers_outside_of_strings_comments_and_casts() -> None:
    sql = "select :a::text, ':a', \":a\", x[1:a], array[:a, :b] -- :a\n, /* :a */ $$ :a $$, f(x := :b)"
    bound = bind_names(sql, {"a": 1, "b": 2})
    assert bound.text == "select $1::text, ':a', \":a\", x[1:a], array[$2, $3] -- :a\n, /* :a */ $$ :a $$, f(x := $4)"
    assert bound.names == ["a", "a", "b", "b"]


def test_a_name_without_a_value_is_refused() -> None:
    with pytest.raises(TaskFailed, match=r"`:c` on line 2 .* \(given: a\)"):
        bind_names("select :a,\n:c", {"a": 1})
    assert bind_names("select :c", None).text == "select :c"


def test_positions_are_led_back_to_the_original() -> None:
    sql = "select :long_name, :long_name, oops"
    bound = bind_names(sql, {"long_name": 1})
    assert bound.original_offset(bound.text.index("oops")) == sql.index("oops")
    assert bound.original_offset(3) == 3


def test_question_marks_become_numbers() -> None:
    bound = bind_positions("insert into x values (?, '?', ?) where a ?? 'b' -- ?")
    assert bound.text == "insert into x values ($1, '?', $2) where a ? 'b' -- ?"
    assert len(bound.names) == 2
