"""Where attempts may run."""

import pytest

from levada.model.routes import of_group, parsed, route, serves


def test_a_route_says_queue_and_tags_whatever_their_order() -> None:
    assert route("default") == "default"
    assert route("gpu", ["ssd", "linux", "ssd"]) == route("gpu", ["linux", "ssd"]) == "gpu[linux,ssd]"
    assert route("gpu", ["ssd", "linux"], match="ANY") == "gpu[linux|ssd]"
    assert parsed("gpu[linux|ssd]") == ("gpu", frozenset({"linux", "ssd"}), True)
    assert parsed("gpu[linux,ssd]") == ("gpu", frozenset({"linux", "ssd"}), False)
    assert parsed("plain") == ("plain", frozenset(), False)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (None, "default"),
        ({}, "default"),
        ({"fallback": "WAIT"}, "default"),
        ({"key": "gpu"}, "gpu"),
        ({"tags": ["b", "a"]}, "default[a,b]"),
        ({"tags": ["b", "a"], "match": "ANY"}, "default[a|b]"),
        ({"key": "gpu", "tags": ["a"], "match": "ALL"}, "gpu[a]"),
    ],
)
def test_what_flows_write_becomes_a_route(group: dict[str, object] | None, expected: str) -> None:
    assert of_group(group) == expected


@pytest.mark.parametrize(
    ("text", "queues", "tags", "expected"),
    [
        ("default", ["default"], [], True),
        ("default", ["default"], ["any"], True),
        ("default", ["gpu"], [], False),
        ("default[a,b]", ["default"], ["a"], False),
        ("default[a,b]", ["default"], ["a", "b", "c"], True),
        ("default[a|b]", ["default"], ["b"], True),
        ("default[a|b]", ["default"], ["c"], False),
        ("default[a]", ["gpu"], ["a"], False),
        ("default[a]", ["default"], [], False),
    ],
)
def test_a_worker_serves_its_queues_as_far_as_its_tags_go(
    text: str, queues: list[str], tags: list[str], expected: bool
) -> None:
    assert serves(text, queues, tags) is expected
