"""Failpoints are named by the environment and do nothing otherwise."""

from __future__ import annotations

import pytest

from levada.model.errors import Defect, Transient, UserError
from levada.runtime.failpoints import failpoint, parse


def test_a_failpoint_that_nobody_named_does_nothing() -> None:
    failpoint("executor.after_commit")


def test_actions_are_read_with_their_arguments() -> None:
    found = parse("a.b=exit@0.5, c=delay:0.25#3,")
    assert (found["a.b"].action, found["a.b"].probability) == ("exit", 0.5)
    assert (found["c"].action, found["c"].argument, found["c"].only) == ("delay", 0.25, 3)


@pytest.mark.parametrize("text", ["a", "a=explode", "a=delay:x", "A B=exit"])
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="LEVADA_FAILPOINTS"):
        parse(text)


def test_errors_are_raised_by_family() -> None:
    found = parse("a=raise,b=lose")
    with pytest.raises(Defect, match="a"):
        found["a"].hit()
    with pytest.raises(Transient, match="b"):
        found["b"].hit()


def test_a_count_hits_once() -> None:
    point = parse("a=raise#2")["a"]
    point.hit()
    with pytest.raises(Defect):
        point.hit()
    point.hit()
