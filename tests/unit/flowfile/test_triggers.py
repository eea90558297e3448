import pytest

from levada.flowfile.schedules import cron_problem, is_zone

LOG = "tasks:\n  - {id: t, type: core.log.Log, message: hi}\n"


@pytest.mark.parametrize(
    "cron", ["* * * * *", "*/15 9-17 * * MON-FRI", "0 0 L * *", "0 0 * * 7", "@hourly", "@midnight", "0 0 1 JAN *"]
)
def test_cron_expressions_are_accepted(cron: str) -> None:
    assert cron_problem(cron) is None


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "60 * * * *", "@never", "a b c d e"])
def test_what_is_no_cron_expression_is_refused(cron: str) -> None:
    assert cron_problem(cron)


def test_seconds_come_first_when_they_are_wanted() -> None:
    assert cron_problem("59 * * * * *", with_seconds=True) is None
    assert cron_problem("0 59 23 * * *", with_seconds=True) is None
    assert cron_problem("60 * * * * *", with_seconds=True)
    assert cron_problem("* * * * *", with_seconds=True)


def test_time_zones_are_known_by_name_or_distance() -> None:
    assert all(map(is_zone, ["Europe/Paris", "UTC", "Etc/UTC", "GMT+2", "+02:00", "Z"]))
    assert not any(map(is_zone, ["", "Foo/Bar", "../etc/passwd", "/etc/passwd", "Europe", "x" * 300]))


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        ("{id: s, type: core.trigger.Schedule}", "triggers[0].cron: must not be null"),
        ("{id: s, type: core.trigger.Schedule, cron: x}", "invalid cron expression 'x'"),
        ("{id: s, type: core.trigger.Schedule, cron: '@daily', timezone: Foo/Bar}", "is not a valid time-zone ID"),
        ("{id: s, type: core.trigger.Schedule, cron: '@daily', interval: PT5S}", "interval: must be null"),
        ("{id: s, type: core.trigger.Schedule, cron: '@daily', stopAfter: [DONE]}", "`DONE` is not a state"),
        ("{id: s, type: core.trigger.Webhook, key: k, labels: {system.a: b}}", "offending label"),
        ("{id: s, type: core.trigger.Webhook, key: k, conditions: [{type: core.log.Log}]}", "but is not a condition"),
        ("{id: s, type: core.trigger.Webhook, key: k, conditions: [{type: core.condition.Not}]}", "must not be empty"),
        ("{id: s, type: core.trigger.Webhook, key: k, conditions: x}", "conditions: must be a list"),
        ("{id: s, type: core.trigger.Flow, mode: AT_LEAST}", "the mode AT_LEAST needs it"),
    ],
)
def test_triggers_that_cannot_work_are_refused(problems, trigger: str, message: str) -> None:
    assert any(message in problem for problem in problems(LOG + f"triggers: [{trigger}]"))


WINDOW = "triggers: [{id: f, type: core.trigger.Flow, preconditions: {id: p, flows: [{namespace: a}], timeWindow: %s}}]"


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ("{type: DAILY_TIME_DEADLINE}", "Time window of type `DAILY_TIME_DEADLINE` must have a deadline."),
        ("{type: SLIDING_WINDOW, window: PT1H, deadline: 09:00:00}", "`SLIDING_WINDOW` cannot have a deadline."),
        ("{type: DAILY_TIME_WINDOW, startTime: 09:00:00}", "`DAILY_TIME_WINDOW` must have an end time."),
        ("{type: DAILY_TIME_WINDOW, startTime: 9, endTime: 9, window: PT1H}", "cannot have a window."),
    ],
)
def test_time_windows_have_what_their_type_needs(problems, window: str, message: str) -> None:
    assert message in problems(LOG + WINDOW % window)[0]


@pytest.mark.parametrize("window", ["{}", "{window: PT1H}", "{type: SLIDING_WINDOW, window: PT1H}"])
def test_time_windows_that_are_whole_are_accepted(read, window: str) -> None:
    read(LOG + WINDOW % window)


def test_filters_have_one_value_or_a_list_as_their_type_says(problems) -> None:
    where = "triggers: [{id: f, type: core.trigger.Flow, preconditions: {id: p, where: [{id: w, filters: [%s]}]}}]"
    assert (
        "`values` must be null for type REGEX"
        in problems(LOG + where % "{field: FLOW_ID, type: REGEX, value: a, values: [b]}")[0]
    )
    assert (
        "`value` must be null for type IN"
        in problems(LOG + where % "{field: FLOW_ID, type: IN, value: a, values: [b]}")[0]
    )


def test_nested_conditions_get_canonical_names(read) -> None:
    flow = read(
        LOG
        + """
triggers:
  - id: w
    type: io.kestra.core.models.triggers.types.Webhook
    key: k
    when: "{{ true }}"
    inputs: {a: b}
    labels: {c: d}
    conditions:
      - type: io.kestra.core.models.conditions.types.NotCondition
        conditions:
          - {type: io.kestra.plugin.core.condition.ExpressionCondition, expression: "{{ true }}"}
      - id: m
        type: core.condition.MultipleCondition
        conditions: {one: {type: io.kestra.plugin.core.condition.ExecutionFlow, namespace: a, flowId: b}}
"""
    ).flow
    (trigger,) = flow.triggers
    assert (trigger.type, trigger.inputs, trigger.labels) == ("core.trigger.Webhook", {"a": "b"}, (("c", "d"),))
    assert trigger.properties["when"] == "{{ true }}"
    negated, multiple = trigger.properties["conditions"]
    assert negated["conditions"] == [{"type": "core.condition.Expression", "expression": "{{ true }}"}]
    assert multiple["conditions"]["one"]["type"] == "core.condition.ExecutionFlow"


def test_a_schedule_that_gives_no_required_input_is_warned_about(read) -> None:
    inputs = "inputs: [{id: needed, type: STRING}, {id: other, type: STRING, defaults: x}]\n"
    schedule = "triggers: [{id: s, type: core.trigger.Schedule, cron: '@daily', inputs: {%s: x}}]\n"
    (warning,) = read(LOG + inputs + schedule % "other").warnings
    assert warning.endswith("no value for the required inputs `needed`: its starts will fail")
    assert read(LOG + inputs + schedule % "needed").warnings == []
    assert any("the flow has no input `neded`" in one for one in read(LOG + inputs + schedule % "neded").warnings)


def test_the_properties_of_both_dialects_are_read(read) -> None:
    flow = read(
        LOG
        + """
triggers:
  - id: f
    type: core.trigger.Flow
    mode: AT_LEAST
    minSatisfied: 1
    dependsOn: [{namespace: a, flowId: b, states: [SUCCESS]}]
    window: {every: PT1H, offset: PT5M}
    onMiss: {behavior: FAIL}
"""
    ).flow
    assert set(flow.triggers[0].properties) == {"mode", "minSatisfied", "dependsOn", "window", "onMiss"}
