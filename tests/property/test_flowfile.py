"""Whatever is given to the reader of flow files, it answers with a flow or with InvalidFlow, and soon."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levada.flowfile import InvalidFlow, documents, judge, parse
from levada.flowfile.loader import BadYaml, load
from levada.model import durations
from levada.plugins.core import condition, debug, execution, flow, log, output, trigger
from levada.sdk import Registry

REGISTRY = Registry(
    [one for family in (condition, debug, execution, flow, log, output, trigger) for one in family.TASKS]
)
SLOW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

TYPES = st.sampled_from(
    [declared.TYPE for declared in REGISTRY.all()] + ["core.log.Lgo", "STRING", "FORM", "constant", ""]
)
WORDS = st.sampled_from(
    [
        "id",
        "namespace",
        "type",
        "tasks",
        "errors",
        "finally",
        "inputs",
        "outputs",
        "triggers",
        "conditions",
        "labels",
        "retry",
        "interval",
        "values",
        "value",
        "cases",
        "then",
        "else",
        "defaults",
        "message",
        "task",
        "dependsOn",
        "preconditions",
        "timeWindow",
        "where",
        "filters",
        "cron",
        "timezone",
        "pluginDefaults",
        "listeners",
        "sla",
        "checks",
        "concurrency",
        "limit",
        "onResume",
        "onPause",
        "workerGroup",
        "taskCache",
        "timeout",
        "disabled",
        "runIf",
        "when",
        "key",
    ]
)
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["{{ outputs.x.y }}", "{{ inputs.a ?? 'b' }}", "{{", "{% if %}", "PT1S", "P", "* * * * *", "a b", "a"]
    ),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
    TYPES,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(WORDS, TEXTS), inner, max_size=6)),
    max_leaves=25,
)
SECTIONS = ("tasks", "errors", "inputs", "outputs", "triggers", "labels", "pluginDefaults", "listeners", "retry", "sla")
TYPED = st.fixed_dictionaries(
    {"id": TEXTS, "type": TYPES},
    optional=dict.fromkeys(("tasks", "conditions", "message", "retry", "cases", "preconditions", "inputs"), VALUES),
)
LIKE_FLOWS = st.fixed_dictionaries(
    {"id": TEXTS, "namespace": TEXTS, "tasks": st.lists(TYPED, max_size=3)},
    optional={name: st.one_of(VALUES, st.lists(TYPED, max_size=3)) for name in SECTIONS[1:]},
)


def answers(source: str) -> None:
    try:
        parsed = parse(source, REGISTRY)
    except InvalidFlow as invalid:
        refused = invalid
    else:
        assert parsed.flow.id
        msgspec.json.encode(parsed.flow)
        return
    assert str(refused)
    assert refused.problems
    assert all(problem.line is not None and problem.line > 0 for problem in refused.problems)


@SLOW
@given(st.text(max_size=300))
def test_any_text_is_answered(source: str) -> None:
    answers(source)
    assert judge(source, REGISTRY)


@SLOW
@given(st.text(alphabet="{}[]:,-&*!|>'\"%@`#? \n\ta1~<", max_size=120))
def test_any_jumble_of_yaml_signs_is_answered(source: str) -> None:
    answers(source)


@SLOW
@given(VALUES)
def test_any_data_is_answered(data: Any) -> None:
    answers(msgspec.json.encode(data).decode())


@SLOW
@given(LIKE_FLOWS)
def test_anything_like_a_flow_is_answered(data: dict[str, Any]) -> None:
    answers(msgspec.json.encode(data).decode())


@SLOW
@given(VALUES)
def test_data_comes_back_as_it_was(data: Any) -> None:
    assert load(msgspec.json.encode({"data": data}).decode()).data == {"data": data}


@SLOW
@given(st.lists(st.sampled_from(["a: 1\n", "---\n", "# x\n", "\n", "--- # c\n", "---x\n"]), max_size=12))
def test_no_content_is_lost_between_documents(lines: list[str]) -> None:
    pieces = documents.split("".join(lines))
    kept = sum(piece.source.count("a: 1") for piece in pieces)
    assert kept == lines.count("a: 1\n")


@given(st.integers(-durations.LIMIT, durations.LIMIT))
def test_durations_survive_writing_and_reading(microseconds: int) -> None:
    assert durations.parse(durations.format(microseconds)) == microseconds


@given(st.text(alphabet="PTWDHMS0123456789.,+- pts", max_size=20))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with contextlib.suppress(durations.BadDuration):
        assert abs(durations.parse(text)) <= durations.LIMIT


def test_deep_data_is_refused_and_not_recursed_into() -> None:
    with pytest.raises(BadYaml):
        load("[" * 3000)
    with pytest.raises(InvalidFlow, match="levels deep"):
        parse("a: " + "[" * 3000 + "]" * 3000, REGISTRY)
