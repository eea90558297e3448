import time

import pytest

from levada.flowfile.loader import MAX_BYTES, BadYaml, load


def test_plain_scalars_follow_the_core_schema_of_yaml_1_2() -> None:
    source = (
        "a: yes\nb: 012\nc: 0o17\nd: 1:30\ne: 1_000\nf: 1.5e3\ng: ~\nh:\ni: on\nj: 2020-01-01\nk: '1'\nl: 0x1F\nm: True"
    )
    assert load(source).data == {
        "a": "yes",
        "b": 12,
        "c": 15,
        "d": "1:30",
        "e": "1_000",
        "f": 1500.0,
        "g": None,
        "h": None,
        "i": "on",
        "j": "2020-01-01",
        "k": "1",
        "l": 31,
        "m": True,
    }


def test_keys_are_the_text_that_is_written() -> None:
    assert load("1: a\ntrue: b\n1.50: c").data == {"1": "a", "true": "b", "1.50": "c"}


def test_every_key_and_item_has_its_position() -> None:
    document = load("id: x\ntasks:\n  - id: a\n    type: t\n  - id: b\n", line_offset=10)
    assert document.position(("tasks", 1, "id")) == (15, 5)
    assert document.position(("tasks", 0, "nothing", "deeper")) == (13, 5)
    assert document.position(("nothing",)) == (11, 1)


def test_duplicate_keys_are_listed_with_both_lines() -> None:
    document = load("a: 1\nb:\n  c: 1\n  c: 2\n")
    (duplicate,) = document.duplicates
    assert (duplicate.line, duplicate.column, duplicate.path) == (4, 3, ("b", "c"))
    assert duplicate.message == "Duplicate field 'c': it is already set in line 3"


def test_merge_keys_give_way_to_explicit_keys_and_to_earlier_merges() -> None:
    source = "base: &b {x: 1, y: 1}\nmore: &m {y: 2, z: 2}\nout:\n  <<: [*b, *m]\n  x: 3\n"
    assert load(source).data["out"] == {"x": 3, "y": 1, "z": 2}


def test_an_alias_may_be_a_key() -> None:
    assert load("x: &a k\n*a : v").data == {"x": "k", "k": "v"}


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ("a: b\n---\nc: d", 2, 1, "a second document"),
        ("? [a]\n: b", 1, 3, "a key must be a plain text"),
        ("a: *x", 1, 4, "names no anchor"),
        ("&a [*a]", 1, 5, "inside the value that it names"),
        ("a: !!python/object:os.system x", 1, 4, "the tag !!python/object:os.system is not allowed"),
        ("a: !mine {b: c}", 1, 4, "the tag !mine is not allowed"),
        ("a: !!int x", 1, 4, "`x` is not a int"),
        ("a:\n  - .inf", 2, 5, "no JSON form"),
        ("a: 1e999", 1, 4, "too large"),
        ("a: " + "9" * 5000, 1, 4, "too large"),
        ("a: b\0c", 1, 5, "NUL"),
        ("a: \x07", 1, 4, "control characters"),
        ("x\na: \ud800", 2, 4, "surrogate"),
        ("a: 'x", 1, 6, "unexpected end of stream"),
        ("\ta: b", 1, 1, "cannot start any token"),
        ("a: [1", 2, 1, "not valid YAML"),
        ("<<: 1", 1, 1, "merges a map"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_place(source: str, line: int, column: int, message: str) -> None:
    with pytest.raises(BadYaml, match=message.replace("[", r"\[").replace(".", r"\.")) as caught:
        load(source)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_redundant_standard_tags_are_harmless() -> None:
    assert load("a: !!str 12\nb: !!int 3\nc: ! 12\nd: !!map {}").data == {"a": "12", "b": 3, "c": "12", "d": {}}


def test_a_byte_order_mark_is_no_part_of_the_flow() -> None:
    assert load("\ufeffa: b").data == {"a": "b"}


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(BadYaml, match="the source has"):
        load("a: " + "x" * MAX_BYTES)


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(10)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], k{i}: 1}}\n" for i in range(1, 40))


@pytest.mark.parametrize(
    "bomb",
    [LAUGHS, MERGES, "[" * 3000, "[" * 900_000, "- " * 100_000, "{a: " * 100_000, "? " * 100_000, "[" + "a," * 400_000],
    ids=["laughs", "merges", "nesting", "deep", "block", "maps", "questions", "wide"],
)
def test_bombs_are_refused_at_once(bomb: str) -> None:
    began = time.process_time()
    with pytest.raises(BadYaml, match=r"levels deep|values once|plain text"):
        load(bomb)
    assert time.process_time() - began < 2


def test_an_alias_of_a_deep_value_counts_as_deep() -> None:
    chain = "a0: &a0 [[[[[[[[[[x]]]]]]]]]]\n" + "".join(f"a{i}: &a{i} [[[[[*a{i - 1}]]]]]\n" for i in range(1, 30))
    with pytest.raises(BadYaml, match="levels deep once the alias is expanded"):
        load(chain)
