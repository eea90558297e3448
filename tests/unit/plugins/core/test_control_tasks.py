"""Tasks that ask the control plane send documented operations and hand back what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from levada.model.errors import UserError
from levada.plugins.core.execution import Assert, Count, Fail, PurgeExecutions, Resume
from levada.plugins.core.log import Fetch, Log, PurgeLogs
from levada.plugins.core.metric import Publish
from levada.plugins.core.templating import TemplatedTask
from levada.plugins.core.trigger import Toggle
from levada.sdk import TaskFailed
from levada.sdk.testing import TestContext, run


@pytest.fixture
def ctx(tmp_path: Path) -> TestContext:
    return TestContext(tmp_path, variables={"inputs": {"level": "WARN"}})


async def test_logs_are_fetched_page_by_page(ctx: TestContext) -> None:
    def answer(arguments: Mapping[str, Any]) -> dict[str, Any]:
        start = arguments["after"] or 0
        return {"entries": [{"message": f"line {start}"}], "next": start + 1 if start < 2 else None}

    ctx.control.answers["logs.fetch"] = answer
    outputs = await run(Fetch, ctx, level="{{ inputs.level }}", tasksId=["a"])
    assert outputs["size"] == 3
    lines = (await ctx.storage.read(outputs["uri"])).splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["line 0", "line 1", "line 2"]
    asked = ctx.control.calls[0][1]
    assert (asked["executionId"], asked["taskIds"], asked["minLevel"]) == (ctx.execution_id, ["a"], "WARN")
    with pytest.raises(TaskFailed, match="need `executionId`"):
        await run(Fetch, ctx, namespace="company")


async def test_counts_are_kept_where_the_expression_holds(ctx: TestContext) -> None:
    ctx.control.answers["executions.count"] = [
        {"namespace": "company", "flowId": "a", "count": 0},
        {"namespace": "company", "flowId": "b", "count": 5},
    ]
    flows = [{"namespace": "company", "flowId": "a"}, {"namespace": "company", "flowId": "b"}]
    outputs = await run(Count, ctx, flows=flows, expression="{{ count >= 1 }}", startDate="2024-01-01T00:00:00Z")
    assert outputs == {"results": [{"namespace": "company", "flowId": "b", "count": 5}], "total": 5}
    assert ctx.control.calls[0][1]["startUs"] == 1_704_067_200_000_000
    with pytest.raises(TaskFailed, match="either `flows` or `namespaces`"):
        await run(Count, ctx, expression="true", startDate="2024-01-01")
    with pytest.raises(UserError, match="property `startDate` must be a date"):
        await run(Count, ctx, flows=flows, expression="true", startDate="yesterday")


async def test_resume_purge_and_toggle_call_their_operations(ctx: TestContext) -> None:
    ctx.control.answers = {
        "executions.resume": None,
        "executions.purge": {"executionsCount": 1, "logsCount": 2, "metricsCount": 3, "storagesCount": 4},
        "logs.purge": {"count": 9},
        "triggers.toggle": None,
    }
    await run(Resume, ctx, executionId="abc", inputs={"ok": True})
    outputs = await run(PurgeExecutions, ctx, endDate="2024-01-01", states=["FAILED"], purgeLog="false")
    assert outputs == {"executionsCount": 1, "logsCount": 2, "metricsCount": 3, "storagesCount": 4}
    assert await run(PurgeLogs, ctx, endDate="2024-01-01", logLevels=["DEBUG"]) == {"count": 9}
    await run(Toggle, ctx, trigger="daily", enabled=True)
    calls = dict(ctx.control.calls)
    assert calls["executions.resume"] == {"executionId": "abc", "inputs": {"ok": True}}
    assert calls["executions.purge"]["purgeLog"] is False
    assert calls["triggers.toggle"] == {
        "namespace": "company.team",
        "flowId": "flow",
        "triggerId": "daily",
        "enabled": True,
    }
    with pytest.raises(TaskFailed, match="`executionId` is required"):
        await run(Resume, ctx)


async def test_inline_tasks_run_inside_a_working_directory(ctx: TestContext) -> None:
    await run(Log, ctx, message=["a", "b"], level="warn")
    assert ctx.messages("WARN") == ["a", "b"]
    with pytest.raises(TaskFailed, match="no luck"):
        await run(Fail, ctx, condition="{{ 1 == 1 }}", errorMessage="no luck")
    await run(Fail, ctx, condition="{{ 1 == 2 }}")
    with pytest.raises(TaskFailed, match="1 assertion failed"):
        await run(Assert, ctx, conditions=["{{ true }}", "{{ false }}"])
    timer = {"type": "timer", "name": "t", "value": "PT1.5S", "tags": {"a": 1}}
    await run(Publish, ctx, metrics=[timer, {"type": "counter", "name": "c", "value": "2"}])
    assert ctx.metric("t") == 1500
    assert ctx.metric("c") == 2


async def test_a_templated_task_runs_the_task_in_its_text(ctx: TestContext) -> None:
    spec = "type: io.kestra.plugin.core.storage.Write\ncontent: level {{ inputs.level }}"
    outputs = await run(TemplatedTask, ctx, spec=spec)
    assert await ctx.storage.read(outputs["uri"]) == b"level WARN"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("type: io.kestra.plugin.core.flow.Pause\ndelay: PT10S", "The templated task must be a runnable task"),
        (
            "type: io.kestra.plugin.core.templating.TemplatedTask\nspec: x",
            r"The templated task cannot be of type 'io\.kestra\.plugin\.core\.templating\.TemplatedTask'",
        ),
        ("type: core.log.Lag", r"unknown type core\.log\.Lag; did you mean core\.log\.Log"),
        ("just text", "must be the YAML of one task"),
        ("a: [", "is no YAML"),
        ("type: core.log.Log\nmessage: x\nretry: {}", "`retry` has no effect inside `spec`"),
        ("type: core.log.Log", "message"),
    ],
)
async def test_what_is_no_runnable_task_is_refused(ctx: TestContext, spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        await run(TemplatedTask, ctx, spec=spec)
