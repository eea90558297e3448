from __future__ import annotations

import math
import re

import pytest

from levada.model.errors import Defect
from levada.runtime import metrics
from levada.runtime.series import Registry


@pytest.fixture
def registry() -> Registry:
    return Registry()


def lines(registry: Registry, name: str) -> list[str]:
    return [line for line in registry.text().splitlines() if line.startswith(name)]


def test_a_counter_without_labels_is_there_from_the_start_and_others_when_they_count(registry: Registry) -> None:
    registry.counter("a_total", "A.")
    by_state = registry.counter("b_total", "B.", ("state",))
    registry.gauge("c", "C.")
    assert lines(registry, "a_total") == ["a_total 0"]
    assert lines(registry, "b_total") == lines(registry, "c") == []
    by_state.inc("SUCCESS")
    by_state.inc("SUCCESS", by=2)
    assert lines(registry, "b_total") == ['b_total{state="SUCCESS"} 3']
    assert by_state.get("SUCCESS") == 3


def test_a_page_says_what_each_name_means(registry: Registry) -> None:
    registry.gauge("depth", "How deep.\nVery.")
    assert "# HELP depth How deep.\\nVery.\n# TYPE depth gauge\n" in registry.text()


def test_label_values_cannot_break_out_of_their_quotes(registry: Registry) -> None:
    registry.gauge("depth", "D.", ("queue",)).set(1.5, 'a"b\\c\nd')
    assert lines(registry, "depth") == ['depth{queue="a\\"b\\\\c\\nd"} 1.5']


def test_a_histogram_counts_into_all_buckets_that_are_large_enough(registry: Registry) -> None:
    taken = registry.histogram("taken_seconds", "T.", ("route",), buckets=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        taken.observe(value, "/x")
    assert lines(registry, "taken") == [
        'taken_seconds_bucket{route="/x",le="0.1"} 2',
        'taken_seconds_bucket{route="/x",le="1"} 3',
        'taken_seconds_bucket{route="/x",le="+Inf"} 4',
        'taken_seconds_sum{route="/x"} 7.65',
        'taken_seconds_count{route="/x"} 4',
    ]
    assert (taken.count("/x"), taken.total("/x"), taken.count("/y")) == (4, 7.65, 0)


def test_numbers_that_are_none_are_written_as_prometheus_does(registry: Registry) -> None:
    gauge = registry.gauge("g", "G.", ("x",))
    for name, value in (("nan", math.nan), ("up", math.inf), ("down", -math.inf), ("large", 1e20)):
        gauge.set(value, name)
    assert [line.rpartition(" ")[2] for line in lines(registry, "g")] == ["NaN", "+Inf", "-Inf", "1e+20"]


def test_replacing_a_gauge_forgets_what_is_gone(registry: Registry) -> None:
    depth = registry.gauge("depth", "D.", ("queue",))
    depth.replace({("a",): 1, ("b",): 2})
    depth.replace({("b",): 3})
    assert lines(registry, "depth") == ['depth{queue="b"} 3']


@pytest.mark.parametrize("labels", [(), ("a", "b")])
def test_a_wrong_number_of_labels_is_refused(registry: Registry, labels: tuple[str, ...]) -> None:
    for metric in (registry.counter("c", "C.", ("x",)), registry.gauge("g", "G.", ("x",))):
        with pytest.raises(Defect, match="labels"):
            metric.inc(*labels)
    with pytest.raises(Defect, match="labels"):
        registry.histogram("h", "H.", ("x",)).observe(1, *labels)


def test_a_name_is_declared_once(registry: Registry) -> None:
    registry.gauge("g", "G.")
    with pytest.raises(Defect, match="twice"):
        registry.counter("g", "G.")


async def test_collectors_bring_the_page_up_to_date_until_they_are_removed(registry: Registry) -> None:
    gauge = registry.gauge("g", "G.")
    remove = registry.collect("ours", lambda: gauge.set(gauge.get() + 1))
    assert b"\ng 1\n" in await registry.page()
    assert b"\ng 2\n" in await registry.page()
    newer = registry.collect("ours", lambda: gauge.set(10))
    remove()  # was replaced already: takes nothing away
    assert b"\ng 10\n" in await registry.page()
    newer()
    gauge.set(0)
    assert b"\ng 0\n" in await registry.page()


async def test_a_collector_that_fails_is_counted_and_takes_nothing_else_with_it(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise ConnectionError("away")

    gauge = registry.gauge("g", "G.")
    registry.collect("broken", broken)
    registry.collect("well", lambda: gauge.set(1))
    page = (await registry.page()).decode()
    assert "\ng 1\n" in page
    assert "metrics of broken could not be brought up to date: away" in caplog.text
    assert 'levada_scrape_errors_total{collector="broken"} 1' in registry.text()


def test_every_metric_is_named_as_prometheus_wants_and_explained() -> None:
    for name, metric in metrics.REGISTRY.metrics.items():
        assert re.fullmatch(r"(levada|process)_[a-z0-9]+(_[a-z0-9]+)*", name)
        assert (metric.kind == "counter") == name.endswith("_total"), name
        assert metric.help[0].isupper() or metric.help[0] == "1", name
        assert metric.help.endswith("."), name
        assert not set(metric.labels) & {"le", "job", "instance", "execution", "flow", "namespace"}, name
