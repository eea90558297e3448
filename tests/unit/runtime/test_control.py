"""What tasks may ask of the control plane, over a platform in memory."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from worlds import MovableClock, Owner, created, execution, line

from levada.bus.port import COMMANDS
from levada.files import paths
from levada.model import commands
from levada.model.commands import ResumeExecution
from levada.model.errors import UserError
from levada.model.jobs import MetricEntry
from levada.model.states import State
from levada.runtime.control import Control
from levada.runtime.platform import Platform
from levada.sdk import Services
from levada.store.port import ExecutionFilter, FlowRow
from levada.store.triggers import Declared, FlowSchedules


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def platform(clock: MovableClock) -> Platform:
    return Platform.in_memory(clock)


@pytest.fixture
def services(platform: Platform) -> Services:
    return platform.services()


async def ended(platform: Platform, *ids: str, **fields: Any) -> None:
    owner = await Owner(platform.executions).own(0)
    for number, id in enumerate(ids):
        made = execution(id, at=1000 + number, state=fields.pop("state", State.SUCCESS), **fields)
        await owner.commit(created(made), logs=[line(id, f"line of {id}", at=1000 + number)])
        await platform.files.put(f"{paths.execution_folder(made.namespace, made.flow_id, id)}/tasks/t/r/x.txt", b"x")


async def test_keys_expire_and_are_not_overwritten_against_the_will(services: Services, clock: MovableClock) -> None:
    await services.kv.put("ns", "a", 1, ttl_us=1_000_000)
    await services.kv.put("ns", "b", "text", description="d")
    assert [(entry.key, entry.type) for entry in await services.kv.entries("ns")] == [("a", "NUMBER"), ("b", "STRING")]
    with pytest.raises(UserError, match="exists already"):
        await services.kv.put("ns", "a", 2, overwrite=False)
    clock.pass_s(2)
    assert await services.kv.get("ns", "a") is None
    assert await services.kv.keys("ns") == ["b"]
    await services.kv.put("ns", "a", True, overwrite=False)
    assert (await services.kv.get("ns", "a")).type == "BOOLEAN"  # type: ignore[union-attr]
    assert await services.kv.delete("ns", "a")
    assert not await services.kv.delete("ns", "a")


async def test_files_of_a_namespace(services: Services) -> None:
    assert await services.namespace_files.list("ns") == []
    await services.namespace_files.put("ns", "/b/c.txt", b"2")
    await services.namespace_files.put("ns", "a.txt", b"1")
    assert await services.namespace_files.list("ns") == ["a.txt", "b/c.txt"]
    assert await services.namespace_files.read("ns", "b/c.txt") == b"2"
    assert await services.namespace_files.delete("ns", "b/c.txt")
    with pytest.raises(UserError):
        await services.namespace_files.read("ns", "../other/x")


async def test_executions_are_counted_as_asked(platform: Platform, services: Services) -> None:
    await ended(platform, "e1", "e2")
    await ended(platform, "e3", namespace="company.team.deep", flow_id="other")
    counts = await services.control.call(
        "executions.count",
        {
            "flows": [{"namespace": "company.team", "flowId": "hello"}, {"namespace": "x", "flowId": "y"}],
            "namespaces": ["company"],
        },
    )
    assert [entry["count"] for entry in counts] == [2, 0, 3]
    late = await services.control.call(
        "executions.count", {"namespaces": ["company"], "startUs": 1001, "states": ["SUCCESS"]}
    )
    assert late == [{"namespace": "company", "flowId": None, "count": 1}]
    with pytest.raises(UserError, match="states are"):
        await services.control.call("executions.count", {"namespaces": ["company"], "states": ["DONE"]})


async def test_only_a_paused_execution_is_resumed(platform: Platform, services: Services) -> None:
    await ended(platform, "e1")
    await ended(platform, "e2", state=State.PAUSED)
    with pytest.raises(UserError, match="SUCCESS, not PAUSED"):
        await services.control.call("executions.resume", {"executionId": "e1"})
    with pytest.raises(UserError, match="no execution nobody"):
        await services.control.call("executions.resume", {"executionId": "nobody"})
    with pytest.raises(UserError, match="executionId"):
        await services.control.call("executions.resume", {})
    await services.control.call("executions.resume", {"executionId": "e2", "inputs": {"a": 1}})
    positions = dict.fromkeys(range(8), 0)
    (record,) = await platform.bus.poll(COMMANDS, positions, max_records=9, max_bytes=1 << 20, timeout_s=0)
    assert commands.decode(record.body) == ResumeExecution(execution_id="e2", inputs={"a": 1})


async def test_purging_removes_ended_executions_with_all_they_have(platform: Platform, services: Services) -> None:
    await ended(platform, *[f"e{number}" for number in range(5)])
    await ended(platform, "live", state=State.RUNNING)
    await platform.metrics.write(
        [
            MetricEntry(
                execution_id="e1",
                namespace="n",
                flow_id="f",
                task_id="t",
                task_run_id="r",
                name="m",
                kind="counter",
                value=1,
                at=1,
            )
        ]
    )
    answer = await services.control.call("executions.purge", {"namespace": "company", "batchSize": 2})
    assert answer == {"executionsCount": 5, "logsCount": 5, "metricsCount": 1, "storagesCount": 5}
    assert [head.id for head in (await platform.queries.search("main", ExecutionFilter()))[0]] == ["live"]
    with pytest.raises(UserError, match="only ended"):
        await services.control.call("executions.purge", {"states": ["RUNNING"]})


async def test_purging_only_logs_keeps_the_executions(platform: Platform, services: Services) -> None:
    await ended(platform, "e1", "e2", "e3")
    arguments = {"purgeExecution": False, "purgeStorage": False, "purgeMetric": False, "batchSize": 2}
    answer = await services.control.call("executions.purge", arguments)
    assert answer == {"executionsCount": 0, "logsCount": 3, "metricsCount": 0, "storagesCount": 0}
    assert (await platform.queries.search("main", ExecutionFilter()))[1] == 3


async def test_logs_are_fetched_page_by_page(platform: Platform, services: Services) -> None:
    await platform.logs.write([line("e1", str(number), at=1_000_000 + number, task_id="a") for number in range(5)])
    arguments = {"executionId": "e1", "taskIds": ["a"], "limit": 2}
    messages, after = [], None
    while True:
        page = await services.control.call("logs.fetch", {**arguments, "after": after})
        messages += [entry["message"] for entry in page["entries"]]
        after = page["next"]
        if after is None:
            break
    assert messages == list("01234")
    assert page["entries"][0]["timestamp"] == "1970-01-01T00:00:01.000004Z"


async def test_logs_are_purged_by_level(platform: Platform, services: Services) -> None:
    await platform.logs.write([line("e1", "x", at=1), line("e1", "y", at=2, level="ERROR")])
    assert await services.control.call("logs.purge", {"logLevels": ["INFO"]}) == {"count": 1}


async def test_files_without_an_execution_are_purged(platform: Platform, services: Services) -> None:
    await ended(platform, "e1")
    await platform.files.put(f"{paths.execution_folder('company.team', 'hello', 'gone')}/inputs/f/x.txt", b"x")
    tried = await services.control.call("storage.purge", {"namespace": "company.team", "dryRun": True})
    assert tried == {"scannedCount": 2, "purgedCount": 1, "deletedFilesCount": 1}
    assert await services.control.call("storage.purge", {"flowId": "hello"}) == tried
    assert await services.control.call("storage.purge", {}) == {
        "scannedCount": 1,
        "purgedCount": 0,
        "deletedFilesCount": 0,
    }


async def test_namespaces_are_those_that_have_anything(platform: Platform, services: Services) -> None:
    await platform.flows.save(FlowRow(namespace="flows", id="f", revision=0, source="", updated=1))
    await services.kv.put("keys", "k", 1)
    await services.namespace_files.put("files", "f", b"")
    assert await services.control.call("namespaces.list", {}) == ["files", "flows", "keys"]


async def test_keys_are_purged_by_pattern(services: Services, clock: MovableClock) -> None:
    await services.kv.put("ns", "old", 1, ttl_us=1)
    await services.kv.put("ns", "odd", 1)
    clock.pass_s(1)
    assert await services.control.call("kv.purge", {"namespaces": ["ns"], "keyPattern": "o*"}) == {"count": 1}
    everything = {"namespaces": ["ns"], "keyPattern": "o?d", "expiredOnly": False}
    assert await services.control.call("kv.purge", everything) == {"count": 1}


async def test_secret_texts_are_sealed_with_the_key(platform: Platform, services: Services) -> None:
    with pytest.raises(UserError, match="LEVADA_ENCRYPTION_KEY"):
        await services.control.call("text.encrypt", {"text": "x"})
    key = bytes(range(32))
    platform.encryption_key = key
    sealed = await platform.services().control.call("text.encrypt", {"text": "hush"})
    stored = base64.b64decode(sealed["value"])
    assert AESGCM(key).decrypt(stored[:12], stored[12:], None) == b"hush"


async def test_a_trigger_is_switched_off_and_on(platform: Platform, services: Services) -> None:
    row = await platform.flows.save(FlowRow(namespace="a", id="b", revision=0, source="x", updated=0))
    declared = Declared(
        tenant="main",
        namespace="a",
        flow_id="b",
        trigger_id="c",
        type="core.trigger.Schedule",
        definition="{}",
        signature="",
    )
    flow = FlowSchedules(tenant="main", namespace="a", flow_id="b", revision=row.revision, schedules=[declared])
    await platform.triggers.declare(1, [flow])
    for enabled in (False, True):
        toggle = {"namespace": "a", "flowId": "b", "triggerId": "c", "enabled": enabled}
        await services.control.call("triggers.toggle", toggle)
        (state,) = await platform.triggers.states("main")
        assert state.disabled is not enabled


async def test_an_unknown_operation_is_named_with_what_there_is(services: Services) -> None:
    with pytest.raises(UserError, match=r"`rm`, only .*kv\.purge"):
        await services.control.call("rm", {})
    with pytest.raises(UserError, match="no trigger"):
        await services.control.call("triggers.toggle", {"namespace": "a", "flowId": "b", "triggerId": "c"})
    assert isinstance(services.control, Control)
