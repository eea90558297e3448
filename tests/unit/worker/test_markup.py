"""The `::{…}::` protocol."""

import pytest

from levada_worker.process.markup import Metric, Unreadable, looks_like_markup, read


def test_only_whole_lines_count() -> None:
    assert looks_like_markup('::{"outputs": {}}::')
    assert looks_like_markup("::{}::  ")
    assert not looks_like_markup('say ::{"outputs": {}}::')
    assert not looks_like_markup("::notice::")


def test_everything_is_read() -> None:
    message = read(
        '::{"outputs": {"a": {"b": [1, null]}}, "metrics": [{"name": "n", "type": "counter", "value": 2}], "logs": []}::'
    )
    assert message.outputs == {"a": {"b": [1, None]}}
    assert message.metrics == [Metric("counter", "n", 2.0, {})]


def test_timers_are_seconds_or_durations() -> None:
    line = '::{"metrics": [{"name":"a","type":"timer","value":1.5},{"name":"b","type":"timer","value":"PT2S"}]}::'
    assert [metric.value for metric in read(line).metrics] == [1500.0, 2000.0]


def test_unknown_levels_and_keys_do_no_harm() -> None:
    message = read('::{"logs": [{"level": "loud", "message": "x"}, {"level": "warn", "message": 1}], "assets": []}::')
    assert message.logs == [("INFO", "x"), ("WARN", "1")]


def test_several_objects_may_share_a_line_and_hold_the_marker() -> None:
    message = read('::{"outputs": {"a": "}::"}}::::{"outputs": {"b": "::{"}}:: ::{"outputs": {"c": 3}}::')
    assert message.outputs == {"a": "}::", "b": "::{", "c": 3}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("::{broken}::", "JSON"),
        ('::{"outputs": {}}} }::', "`::` was expected"),
        ('::{"outputs": {}}::x}::', "`::{` was expected"),
        ('::{"outputs": [1]}::', "`outputs` must be a map"),
        ('::{"metrics": {"a": 1}}::', "`metrics` must be a list"),
        ('::{"metrics": [{"type": "counter", "value": 1}]}::', "`name`"),
        ('::{"metrics": [{"name": "a", "type": "sum", "value": 1}]}::', "`type`"),
        ('::{"metrics": [{"name": "a", "type": "counter", "value": "many"}]}::', "must be a number"),
        ('::{"metrics": [{"name": "a", "type": "counter", "value": true}]}::', "must be a number"),
        ("::{" + '"a":' + "[" * 100_000 + "}::", "JSON"),
    ],
)
def test_what_cannot_be_read_says_why(line: str, message: str) -> None:
    assert looks_like_markup(line)
    with pytest.raises(Unreadable, match=message):
        read(line)
