"""Where tasks may run, as flows say it."""

import pytest

TASK = "tasks:\n  - {id: t, type: core.log.Log, message: x, %s}\n"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("workerGroup: {key: gpu}", {"key": "gpu"}),
        ("workerSelector: {tags: [b, a]}", {"tags": ["b", "a"], "match": "ALL"}),
        ("workerSelector: {tags: gpu, match: ANY}", {"tags": ["gpu"], "match": "ANY"}),
    ],
)
def test_both_dialects_are_read(read, written: str, expected: dict[str, object]) -> None:
    assert read(TASK % written).flow.tasks[0].worker_group == expected


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("workerGroup: {}", "workerGroup.key: must not be null"),
        ("workerGroup: {key: 'a[b]'}", "workerGroup.key: `a[b]` is no name of a queue"),
        ("workerGroup: {key: '{{ inputs.where }}'}", "no expression"),
        ("workerSelector: {tags: []}", "workerSelector.tags: must be a list of the tags"),
        ("workerSelector: {tags: [a, 'b,c']}", "workerSelector.tags: tag 2, `b,c`, is no label"),
        ("workerSelector: {tags: [a], match: SOME}", "must be one of ALL, ANY"),
        ("workerSelector: {tags: [a], labels: [b]}", "labels"),
        (f"workerSelector: {{tags: [{', '.join(f't{n}' for n in range(21))}]}}", "at most 20 tags"),
    ],
)
def test_what_no_worker_could_ever_serve_is_refused(problems, written: str, message: str) -> None:
    assert message in "\n".join(problems(TASK % written))


@pytest.mark.parametrize("fallback", ["WAIT", "FAIL", "CANCEL", "IGNORE"])
@pytest.mark.parametrize(
    "choice", ["workerGroup: {key: gpu, fallback: %s}", "workerSelector: {tags: [a], fallback: %s}"]
)
def test_what_is_done_without_a_worker_may_be_chosen(read, choice: str, fallback: str) -> None:
    flow = read(TASK % (choice % fallback))
    assert not flow.warnings
    assert flow.flow.tasks[0].worker_group["fallback"] == fallback


def test_another_fallback_is_refused(problems) -> None:
    assert "must be one of WAIT, FAIL, CANCEL, IGNORE" in "\n".join(
        problems(TASK % "workerGroup: {key: a, fallback: RUN}")
    )
