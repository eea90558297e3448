"""Dashboards and alert rules name only what Levada shows, in a language that Prometheus and Grafana understand."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql
import pytest
import yaml

from levada.runtime import metrics
from levada.runtime.series import Metric

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
GUIDE = GRAFANA.parents[1] / "docs" / "guides" / "observability.md"
#: What Prometheus adds to every series that it scrapes, and what it makes by itself.
TARGET = {"job", "instance"}
OWN = {"up": TARGET}
VARIABLES = {"$__rate_interval": "5m", "$job": "levada"}
UNITS = {"short", "s", "ops", "reqps", "bytes", "percentunit"}


def labels_of(name: str) -> set[str] | None:
    """Return the labels of a name that queries may use; None when Levada shows no such thing."""
    if name in OWN:
        return OWN[name]
    for metric in metrics.REGISTRY.metrics.values():
        if name in metric.exposed():
            return {*metric.labels, *TARGET, *({"le"} if name.endswith("_bucket") else ())}
    return None


def problems(expression: str, templates: list[str]) -> Iterator[str]:
    """Yield what is wrong with an expression, and with texts that show labels of its result as `{{label}}`."""
    query = promql.parse(expression)
    if not query.metrics:
        yield "it asks for nothing"
    known: set[str] = set()
    for one in query.selectors:
        labels = labels_of(one.metric)
        if labels is None:
            yield f"there is no metric {one.metric}"
            continue
        known |= labels
        if one.labels - labels:
            yield f"{one.metric} has no label {sorted(one.labels - labels)}"
        counts = one.metric.endswith(("_total", "_bucket", "_sum", "_count"))
        if promql.COUNTING & set(one.inside) and not counts:
            yield f"{one.metric} goes up and down: no rate"
        if counts and not promql.COUNTING & set(one.inside):
            yield f"{one.metric} only grows: ask for its rate"
    left = known
    for labels_wanted, inside in query.grouped:
        available = set[str]().union(*(labels_of(name) or () for name in inside))
        if labels_wanted - available:
            yield f"nothing inside has the label {sorted(labels_wanted - available)}"
    if query.grouped:
        left = set[str]().union(*(wanted for wanted, _ in query.grouped))
    for template in templates:
        shown = set(re.findall(r"\{\{\s*\$?(?:labels\.)?(\w+)", template)) - {"value"}
        if shown - left:
            yield f"the result has no label {sorted(shown - left)} for {template!r}"


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            yield f"{path.stem}: {panel['title']}", panel


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((GRAFANA / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


def documents() -> dict[str, str]:
    """Return what the script of the dashboards would write, by file name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(GRAFANA))
        written: dict[str, str] = importlib.import_module("make").documents()
    return written


def test_the_dashboards_are_what_their_script_writes() -> None:
    assert {path.name: path.read_text() for path in DASHBOARDS} == documents(), "run deploy/grafana/make.py"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_imported(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == path.stem
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, f"{panel['title']} lies on another"
        taken |= cells
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board))) - {"__rate_interval", "__all"}
    assert used <= variables


@pytest.mark.parametrize(("name", "panel"), list(panels()), ids=[name for name, _ in panels()])
def test_a_panel_asks_for_what_there_is(name: str, panel: dict[str, Any]) -> None:
    if panel["type"] == "row":
        return
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    for target in panel["targets"]:
        expression = target["expr"]
        assert 'job=~"$job"' in expression
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        assert list(problems(expression, [target["legendFormat"]])) == []
        if panel["type"] != "stat":
            assert target["legendFormat"] != "__auto", "a line says what it is"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Levada[A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert list(problems(rule["expr"], list(rule["annotations"].values()))) == []
    if "for" in rule:
        assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert f"### {rule['alert']}\n" in GUIDE.read_text(), "the guide says what to do"


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("levada_nothing_at_all", "no metric"),
        ('levada_queue_depth{flow="x"}', "no label"),
        ("sum by (flow) (levada_queue_depth)", "inside has the label"),
        ("rate(levada_queue_depth[5m])", "no rate"),
        ("levada_executions_ended_total > 5", "ask for its rate"),
        ("levada_executor_commit_seconds", "no metric"),
    ],
)
def test_a_wrong_expression_would_be_noticed(expression: str, why: str) -> None:
    assert why in " ".join(problems(expression, []))


@pytest.mark.parametrize("text", ["rate(a)", "sum(a", "foo(a)", "a{b=c}", "a b", "sum()", 'a{b="("}', "a[5m"])
def test_what_is_no_promql_is_refused(text: str) -> None:
    with pytest.raises((promql.Wrong, re.error)):
        promql.parse(text)


def test_every_metric_is_shown_by_somebody() -> None:
    """Declared and never set would be a dashboard that is always empty."""
    root = GRAFANA.parents[1]
    sources = "\n".join(path.read_text() for top in ("levada", "services") for path in (root / top).rglob("*.py"))
    named = {name: value for name, value in vars(metrics).items() if isinstance(value, Metric)}
    assert [name for name in named if not re.search(rf"\bmetrics\.{name}\b", sources)] == []
    assert {value.name for value in named.values()} | {"levada_scrape_errors_total"} == set(metrics.REGISTRY.metrics)
