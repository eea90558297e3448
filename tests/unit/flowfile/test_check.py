import pytest

from levada.flowfile.check import find_circle

LOG = "tasks:\n  - {id: t, type: core.log.Log, message: hi}\n"


def test_ids_are_unique_over_tasks_and_triggers_however_deep(problems) -> None:
    found = problems(
        """
tasks:
  - id: p
    type: core.flow.Parallel
    tasks:
      - {id: t, type: core.log.Log, message: x}
      - {id: s, type: core.log.Log, message: x}
errors:
  - {id: t, type: core.log.Log, message: x}
triggers:
  - {id: s, type: core.trigger.Schedule, cron: "@daily"}
"""
    )
    assert found == [
        "11:6 errors[0].id: Duplicate task id with name [t]",
        "13:6 triggers[0].id: Duplicate trigger id with name [s]",
    ]


def test_reserved_flow_ids_are_only_warned_about(registry) -> None:
    from levada.flowfile import parse

    parsed = parse("id: pause\nnamespace: b\n" + LOG, registry)
    assert parsed.warnings == ["id: `pause` is a reserved word in Kestra; choose another id to stay compatible"]


DAG = """
tasks:
  - id: dag
    type: core.flow.Dag
    tasks:
      - task: {id: one, type: core.log.Log, message: x}
        dependsOn: [%s]
      - task: {id: two, type: core.log.Log, message: x}
        dependsOn: [one]
"""


def test_a_dag_depends_on_its_own_tasks_without_a_circle(problems) -> None:
    assert problems(DAG % "tow") == [
        "7:5 tasks[0].tasks: dag: Not existing task id in dependency: tow; did you mean `two`?"
    ]
    assert problems(DAG % "two") == ["7:5 tasks[0].tasks: dag: Cyclic dependency detected: one -> two -> one"]


def test_circles_are_found_without_recursion() -> None:
    chain = {str(number): [str(number + 1)] for number in range(100_000)}
    assert find_circle(chain) == []
    assert find_circle({**chain, "100000": ["99999"]}) == ["99999", "100000", "99999"]
    assert find_circle({"a": ["a"]}) == ["a", "a"]
    assert find_circle({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}) == []


def test_inputs_depend_on_inputs_that_exist_without_a_circle(problems) -> None:
    source = LOG + (
        "inputs:\n"
        "  - {id: one, type: STRING, dependsOn: {inputs: [two]}}\n"
        "  - {id: two, type: STRING, dependsOn: {inputs: [one, thre]}}\n"
        "  - {id: three, type: STRING}\n"
    )
    assert problems(source) == [
        "5:1 inputs: Cyclic dependency detected: one -> two -> one",
        "7:29 inputs[1].dependsOn: input `two` depends on the input `thre`, which does not exist; did you mean `three`?",
    ]


def test_a_flow_does_not_call_itself(problems, read) -> None:
    call = "tasks:\n  - {id: t, type: core.flow.Subflow, namespace: company.team, flowId: %s}\n"
    assert problems(call % "a") == ["4:5 tasks[0]: Invalid Flow: Recursive call to flow [company.team.a]"]
    read(call % "b")


WORKING_DIRECTORY = "tasks:\n  - id: wd\n    type: core.flow.WorkingDirectory\n    tasks:\n      - {id: c, %s}\n"


@pytest.mark.parametrize(
    ("child", "message"),
    [
        ("type: core.log.Log, message: x, workerGroup: {key: k}", "Cannot set a Worker Group in any WorkingDirectory"),
        ("type: core.flow.Pause", "Only runnable tasks are allowed in a WorkingDirectory"),
        ("type: core.execution.Exit", "Only runnable tasks are allowed in a WorkingDirectory"),
    ],
)
def test_children_of_a_working_directory_run_on_its_worker(problems, child: str, message: str) -> None:
    assert message in problems(WORKING_DIRECTORY % child)[0]


def test_a_working_directory_needs_tasks(problems) -> None:
    assert problems("tasks:\n  - id: wd\n    type: core.flow.WorkingDirectory\n") == [
        "4:5 tasks[0].tasks: wd: The 'tasks' property cannot be empty"
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tasks: []", "tasks: must not be empty"),
        ("tasks:\n  - {id: s, type: core.flow.Sequential}", "tasks[0].tasks: must not be empty"),
        ("tasks:\n  - {id: s, type: core.flow.If, condition: x, then: []}", "tasks[0].then: must not be empty"),
        (LOG + "listeners: [{tasks: []}]", "listeners[0].tasks: must not be empty"),
    ],
)
def test_containers_need_tasks(problems, source: str, message: str) -> None:
    assert problems(source)[0].endswith(message)


@pytest.mark.parametrize(
    ("retry", "message"),
    [
        (
            "{type: constant, interval: PT10S, maxDuration: PT1S}",
            "'interval' must be less than 'maxDuration' but is PT10S",
        ),
        (
            "{type: random, minInterval: PT3S, maxInterval: PT2S}",
            "'minInterval' must be less than 'maxInterval' but is PT3S",
        ),
        (
            "{type: exponential, interval: PT3S, maxInterval: PT2S}",
            "'interval' must be less than 'maxInterval' but is PT3S",
        ),
        ("{type: constant}", "retry.interval: must not be null"),
        ("{type: linear, interval: PT1S}", "Invalid type: linear; a retry is constant, exponential or random"),
        ("{interval: PT1S}", "Invalid type: null"),
        ("{type: constant, interval: PT-1S}", "interval: must not be negative"),
        ("{type: constant, interval: '{{ x }}'}", "it cannot be an expression"),
        ("{type: constant, interval: PT1S, maxAttempts: 0}", "must be greater than or equal to 1"),
        ("{type: constant, interval: PT1S, attempts: 1}", 'Unrecognized field "attempts" of retry'),
        ("often", "must be a map, but is a text"),
    ],
)
def test_retries_that_cannot_work_are_refused(problems, retry: str, message: str) -> None:
    assert message in problems(LOG + f"retry: {retry}")[0]


@pytest.mark.parametrize(
    ("input", "message"),
    [
        ("{id: i}", "Invalid type: null"),
        ("{id: i, type: FOO}", "Invalid type: FOO"),
        ("{id: i, type: STRIN}", "did you mean `STRING`"),
        ("{id: 'a b', type: STRING}", "must match"),
        ("{id: i, type: FILE, defaults: x}", "i: no `defaults` can be set for inputs of type 'FILE'"),
        ("{id: i, type: ARRAY, itemType: ARRAY}", "i: `itemType` cannot be `ARRAY`"),
        ("{id: i, type: ARRAY}", "itemType: must not be null"),
        ("{id: i, type: SELECT}", "a selection needs `values` or an `expression`"),
        ("{id: i, type: INT, min: x}", "must be a number"),
        ("{id: i, type: INT, defaults: abc}", "Expected `INT` but received `abc`"),
        ("{id: i, type: DURATION, max: 5m}", "is not an ISO 8601 duration"),
        (r"{id: i, type: STRING, validator: \}", "invalid pattern"),
        ("{id: i, type: STRING, defaults: a, prefill: b}", "not both"),
        ("{id: i, type: STRING, min: 1}", 'Unrecognized field "min" of an input of type STRING'),
        ("{id: i, type: FORM, inputs: [{id: j, type: FOO}]}", "inputs[0].inputs[0].type: Invalid type: FOO"),
        ("{id: i, type: FORM, inputs: [{id: j, type: FORM}]}", "a FORM cannot stand inside a FORM"),
        ("text", "must be an input, but is a text"),
    ],
)
def test_inputs_that_cannot_be_asked_for_are_refused(problems, input: str, message: str) -> None:
    assert any(message in problem for problem in problems(LOG + f"inputs: [{input}]"))


def test_defaults_that_fit_are_accepted(read) -> None:
    flow = read(
        LOG
        + """
inputs:
  - {id: a, type: INT, defaults: "5"}
  - {id: b, type: BOOLEAN, defaults: false}
  - {id: c, type: FILE, defaults: "nsfile:///x.csv"}
  - {id: d, type: DATETIME, defaults: "{{ now() }}"}
  - {id: e, type: FORM, inputs: [{id: x, type: STRING}]}
  - {id: f, type: STRING, defaults: ""}
"""
    ).flow
    assert [one.has_defaults for one in flow.inputs] == [True, True, True, True, False, True]
    assert flow.inputs[4].properties == {"inputs": [{"id": "x", "type": "STRING"}]}
