import msgspec
import pytest

from levada.flowfile import InvalidFlow, parse
from levada.model.durations import MINUTE, SECOND
from levada.model.flow import Concurrency, ConcurrencyBehavior, Retry, RetryBehavior
from levada.sdk import Registry

LOG = "tasks:\n  - {id: t, type: core.log.Log, message: hi}\n"


def test_an_ordinary_flow_becomes_a_model(read) -> None:
    flow = read(
        """
revision: 7
description: what it does
labels: {team: data, size: 3, on: true}
variables: {x: {y: 1}}
concurrency: {limit: 2, behavior: CANCEL}
tasks:
  - id: first
    type: io.kestra.plugin.core.log.Log
    message: "{{ inputs.name ?? 'x' }}"
    timeout: PT5M
    retry: {type: exponential, interval: PT1S, maxInterval: PT1M, maxAttempts: 3}
    disabled: false
    runIf: "{{ true }}"
    allowFailure: true
    logLevel: WARN
""",
        tenant="acme",
        revision=3,
    ).flow
    assert (flow.key, flow.revision, flow.description) == ("acme/company.team/a", 3, "what it does")
    assert flow.labels == (("team", "data"), ("size", "3"), ("on", "true"))
    assert flow.variables == {"x": {"y": 1}}
    assert flow.concurrency == Concurrency(2, ConcurrencyBehavior.CANCEL)
    (task,) = flow.tasks
    assert (task.type, task.properties) == ("core.log.Log", {"message": "{{ inputs.name ?? 'x' }}"})
    assert (task.timeout, task.run_if, task.allow_failure, task.log_level) == ("PT5M", "{{ true }}", True, "WARN")
    assert task.retry == Retry(type="exponential", interval=SECOND, max_interval=MINUTE, max_attempts=3)


def test_every_branch_of_every_container_is_read(read) -> None:
    flow = read(
        """
tasks:
  - id: if
    type: core.flow.If
    condition: "{{ true }}"
    then: [{id: a1, type: core.log.Log, message: x}]
    else: [{id: a2, type: core.log.Log, message: x}]
    errors: [{id: a3, type: core.log.Log, message: x}]
    finally: [{id: a4, type: core.log.Log, message: x}]
  - id: switch
    type: core.flow.Switch
    value: "{{ 1 }}"
    cases:
      1: [{id: b1, type: core.log.Log, message: x}]
      two: [{id: b2, type: core.log.Log, message: x}]
    defaults: [{id: b3, type: core.log.Log, message: x}]
  - id: pause
    type: core.flow.Pause
    onPause: {id: c1, type: core.log.Log, message: x}
  - id: dag
    type: core.flow.Dag
    tasks:
      - task: {id: d1, type: core.log.Log, message: x}
      - task: {id: d2, type: core.log.Log, message: x}
        dependsOn: [d1]
errors: [{id: e, type: core.log.Log, message: x}]
finally: [{id: f, type: core.log.Log, message: x}]
afterExecution: [{id: g, type: core.log.Log, message: x}]
"""
    ).flow
    branches = {
        task.id: {name: [child.id for child in children] for name, children in task.branches.items()}
        for task in flow.tasks
    }
    assert branches == {
        "if": {"then": ["a1"], "else": ["a2"], "errors": ["a3"], "finally": ["a4"]},
        "switch": {"cases.1": ["b1"], "cases.two": ["b2"], "defaults": ["b3"]},
        "pause": {"onPause": ["c1"]},
        "dag": {"tasks": ["d1", "d2"]},
    }
    assert flow.tasks[3].depends_on == {"d2": ("d1",)}
    assert [one[0].id for one in (flow.errors, flow.finally_, flow.after_execution)] == ["e", "f", "g"]
    assert all(not {"then", "cases", "tasks", "onPause"} & set(task.properties) for task in flow.tasks)


def test_old_names_become_canonical_and_are_told(read) -> None:
    parsed = read("tasks:\n  - {id: t, type: io.kestra.core.tasks.log.Log, message: hi}\n")
    assert parsed.flow.tasks[0].type == "core.log.Log"
    assert parsed.infos == ["io.kestra.core.tasks.log.Log is replaced by io.kestra.plugin.core.log.Log"]
    assert parsed.deprecations == []


def test_deprecated_types_properties_and_listeners_are_named_by_path(read) -> None:
    parsed = read(
        """
inputs: [{name: old, type: STRING, required: false}]
listeners:
  - conditions: [{type: io.kestra.core.models.conditions.types.ExecutionStatusCondition, in: [FAILED]}]
    tasks: [{id: l, type: core.log.Log, message: x}]
tasks:
  - {id: echo, type: core.debug.Echo, format: x}
  - {id: pause, type: core.flow.Pause, delay: PT1S}
"""
    )
    assert set(parsed.deprecations) == {"inputs[0].name", "listeners", "tasks[0]", "tasks[1].delay"}
    assert parsed.flow.listeners[0].conditions == ({"type": "core.condition.ExecutionStatus", "in": ["FAILED"]},)
    assert parsed.flow.inputs[0].id == "old"


def test_a_type_that_only_kestra_has_is_kept_with_a_warning(read) -> None:
    parsed = read("tasks:\n  - {id: t, type: io.kestra.plugin.aws.s3.Upload, anything: [1]}\n")
    assert parsed.flow.tasks[0].properties == {"anything": [1]}
    assert parsed.warnings == [
        "tasks[0]: aws.s3.Upload exists in Kestra but not in this version of Levada; it cannot run"
    ]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(problems) -> None:
    found = problems(
        """
unknwon: 1
labls: {}
concurrency: {limit: 0}
tasks:
  - id: bad id
    type: core.log.Log
    mesage: x
    level: WRONG
  - id: b
    type: core.log.Logg
  - type: core.log.Log
    message: x
  - just text
triggers:
  - {id: s, type: core.log.Log}
"""
    )
    assert found == [
        '4:1 unknwon: Unrecognized field "unknwon" of a flow',
        '5:1 labls: Unrecognized field "labls" of a flow; did you mean `labels`?',
        "6:15 concurrency.limit: must be greater than or equal to 1",
        '8:5 tasks[0].id: `bad id` must match "^[a-zA-Z0-9][a-zA-Z0-9_-]*$"',
        "8:5 tasks[0].message: must not be null",
        '10:5 tasks[0].mesage: Unrecognized field "mesage" of core.log.Log; did you mean `message`?',
        "11:5 tasks[0].level: must be one of DEBUG, ERROR, INFO, TRACE, WARN, but is `WRONG`",
        "13:5 tasks[1].type: Invalid type: core.log.Logg; did you mean `core.log.Log` or `core.log.PurgeLogs`?",
        "14:5 tasks[2].id: must not be null",
        "16:5 tasks[3]: must be a task, but is a text",
        "18:13 triggers[0].type: Invalid type: core.log.Log; it exists, but is not a trigger",
    ]


def test_the_error_text_has_one_line_per_problem_with_the_file(registry: Registry) -> None:
    with pytest.raises(InvalidFlow) as caught:
        parse("id: a\nnamespace: b\nx: 1\ntasks: []\n", registry, file="flows/a.yml", line_offset=100)
    assert str(caught.value).splitlines() == [
        'flows/a.yml:103:1 x: Unrecognized field "x" of a flow',
        "flows/a.yml:104:1 tasks: must not be empty",
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "this is empty"),
        ("# only a comment", "this is empty"),
        ("- a", "this is a list"),
        ("just text", "this is a text"),
        ("a: [", "not valid YAML"),
        ("id: a\nid: b", "Duplicate field 'id'"),
    ],
)
def test_what_is_no_flow_is_one_clear_problem(registry: Registry, source: str, message: str) -> None:
    with pytest.raises(InvalidFlow, match=message):
        parse(source, registry)


def test_a_source_that_was_accepted_before_is_only_warned_about_new_rules(registry: Registry) -> None:
    source = "id: a\nnamespace: b\ntasks:\n  - {id: t, type: core.log.Log, message: '{{ outputs.gone.value }}'}\n"
    with pytest.raises(InvalidFlow):
        parse(source, registry)
    assert parse(source, registry, lenient=True).warnings == [
        "tasks[0].message: `outputs.gone` reads a task that does not exist"
    ]
    with pytest.raises(InvalidFlow):
        parse(source + "x: 1\n", registry, lenient=True)


def test_json_is_read_as_well(registry: Registry) -> None:
    source = msgspec.json.encode(
        {"id": "a", "namespace": "b", "tasks": [{"id": "t", "type": "core.log.Log", "message": "x"}]}
    )
    assert parse(source.decode(), registry).flow.tasks[0].id == "t"


def test_both_dialects_of_retry_checks_and_worker_choice_are_read(read) -> None:
    flow = read(
        LOG
        + """
retry: {type: constant, interval: PT1S, maxAttempt: 5, behavior: CREATE_NEW_EXECUTION}
workerSelector: {tags: [gpu], match: ALL, fallback: WAIT}
checks:
  - {condition: "{{ true }}", message: no}
  - {when: "{{ true }}", message: no, behavior: CREATE_EXECUTION, style: WARNING}
sla:
  - {id: s, type: MAX_DURATION, duration: PT0.5S, behavior: FAIL, labels: {late: true}}
  - {id: s, type: EXECUTION_ASSERTION, assert: "{{ true }}", behavior: NONE}
"""
    ).flow
    assert flow.retry is not None
    assert (flow.retry.max_attempts, flow.retry.behavior) == (5, RetryBehavior.CREATE_NEW_EXECUTION)
    assert flow.worker_group == {"tags": ["gpu"], "match": "ALL", "fallback": "WAIT"}
    assert [check["behavior"] for check in flow.checks] == ["BLOCK_EXECUTION", "CREATE_EXECUTION"]
    assert [(one.duration, one.assertion, one.labels) for one in flow.sla] == [
        (500_000, None, (("late", "true"),)),
        (None, "{{ true }}", ()),
    ]


def test_when_on_a_task_means_run_if(read) -> None:
    task = read('tasks:\n  - {id: t, type: core.log.Log, message: x, when: "{{ false }}"}\n').flow.tasks[0]
    assert task.run_if == "{{ false }}"
    assert "when" not in task.properties


def test_what_the_server_writes_into_a_flow_is_accepted_back(read) -> None:
    read(LOG + "revision: 4\nupdated: 2026-01-01T00:00:00Z\ndeleted: false\ntenantId: main\nsource: x\n")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("labels: {system.x: y}", "offending label: system.x=y"),
        ("labels: [{key: system.x, value: y}]", "offending label: system.x=y"),
        ("labels: {a: {b: c}}", "a label's value is a text"),
        ("labels: {a: ''}", "neither may be empty"),
        ("labels: [a]", "a map with `key` and `value`"),
        ("labels: text", "must be a map or a list"),
    ],
)
def test_labels_that_make_no_sense_are_refused(problems, labels: str, message: str) -> None:
    assert message in problems(LOG + labels)[0]


def test_a_flow_may_be_marked_read_only(read) -> None:
    assert read(LOG + "labels: {system.readOnly: true}").flow.labels == (("system.readOnly", "true"),)
