import pytest

from levada.flowfile.templates import analyse


def log(message: str, more: str = "") -> str:
    return f"tasks:\n  - id: first\n    type: core.log.Log\n    message: {message}\n{more}"


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (
            '"{{ outputs.frist.value }}"',
            "6:18 tasks[0].message: `outputs.frist` reads a task that does not exist; did you mean `first`?",
        ),
        ("\"{{ outputs['other'].value }}\"", "6:18 tasks[0].message: `outputs.other` reads a task that does not exist"),
        (
            "|\n      one\n      {{ 1 }} {{ outputs.gone }}\n",
            "8:18 tasks[0].message: `outputs.gone` reads a task that does not exist",
        ),
        (
            ">-\n      one\n      two {{ outputs.gone }}",
            "8:14 tasks[0].message: `outputs.gone` reads a task that does not exist",
        ),
        ("['ok', 'x {{ outputs.gone }}']", "6:27 tasks[0].message[1]: `outputs.gone` reads a task that does not exist"),
    ],
)
def test_an_unknown_task_is_an_error_at_its_place(problems, message: str, problem: str) -> None:
    assert problems(log(message)) == [problem]


@pytest.mark.parametrize(
    "message",
    [
        '"{{ outputs.gone ?? 1 }}"',
        '"{{ outputs.gone is defined ? outputs.gone.value : 1 }}"',
        "\"{{ outputs.gone.value | default('x') }}\"",
        '"{{ outputs[taskrun.value].value }}"',
        '"{% set outputs = {} %}{{ outputs.gone }}"',
        '"{% raw %}{{ outputs.gone }}{% endraw %}"',
        '"{{ outputs }}"',
        '"{{ taskrun.outputs.gone }}"',
    ],
)
def test_absence_that_is_handled_or_not_knowable_is_no_mistake(read, message: str) -> None:
    assert read(log(message)).warnings == []


def test_inputs_and_variables_are_errors_only_when_a_known_name_is_near(read, problems) -> None:
    known = "inputs: [{id: customer, type: STRING}, {id: a.b, type: STRING}]\nvariables: {region: x}\n"
    assert problems(log('"{{ inputs.custmer }} {{ vars.regoin }}"', known)) == [
        "6:18 tasks[0].message: `inputs.custmer` reads an input that does not exist; did you mean `customer`?",
        "6:39 tasks[0].message: `vars.regoin` reads a variable that does not exist; did you mean `region`?",
    ]
    assert read(log('"{{ inputs.zzz }} {{ inputs.a.b }}"', known)).warnings == [
        "tasks[0].message: `inputs.zzz` reads an input that does not exist"
    ]


def test_variables_may_be_set_by_tasks(read) -> None:
    sets = "  - {id: s, type: core.execution.SetVariables, variables: {late: 1}}\n"
    assert read(log('"{{ vars.late }}"', sets)).warnings == []


def test_an_expression_that_cannot_be_read_is_a_warning_and_an_error_when_strict(read, problems) -> None:
    source = log('"{{ a b }}"')
    (doubt,) = read(source).doubts
    assert (doubt.line, doubt.column, doubt.path) == (6, 20, "tasks[0].message")
    assert doubt.message.startswith("the expression cannot be read: ")
    assert problems(source, strict=True)[0].startswith("6:20 tasks[0].message: the expression cannot be read")
    assert "[nothing] does not exist" in read(log('"{{ nothing() }}"')).warnings[0]


def test_ids_that_a_for_each_item_makes_are_known(read) -> None:
    each = "  - {id: each, type: core.flow.ForEachItem, items: x, namespace: b, flowId: c}\n"
    assert read(log('"{{ outputs.each_merge.subflowOutputs }}"', each)).warnings == []


def test_a_run_if_that_reads_nothing_is_only_doubtful(read) -> None:
    parsed = read(log("x", '    runIf: "{{ outputs.gone }}"\n'))
    assert parsed.warnings == ["tasks[0].runIf: `outputs.gone` reads a task that does not exist"]


def test_triggers_read_other_flows(read) -> None:
    flow = '    type: core.trigger.Flow\n    inputs: {x: "{{ outputs.elsewhere.value }}"}\n'
    assert read(log("x", f"inputs: [{{id: x, type: STRING}}]\ntriggers:\n  - id: f\n{flow}")).warnings == []


def test_a_template_tells_what_it_reads_and_where() -> None:
    analysis = analyse("a {{ b.c }}\n {{ d['e f'].g }} {% for x in y.z %}{{ x.w }}{% endfor %}")
    assert {(read.names, read.line, read.column) for read in analysis.reads} == {
        (("b", "c"), 1, 6),
        (("d", "e f", "g"), 2, 5),
        (("y", "z"), 2, 31),
    }
