"""Why, dead letters, reconcile, who serves: over the API in memory."""

from typing import Any

import pytest

from levada.bus.port import COMMANDS, Outgoing
from levada_scheduler.main import compose

SHELL = """
id: shell
namespace: company.team
tasks:
  - id: sh
    type: io.kestra.plugin.scripts.shell.Commands
    commands: ["true"]
"""


async def buried(
    server: Any, body: bytes = b'{"type":"kill_execution","execution_id":"E","shape":"of tomorrow"}'
) -> int:
    """Make a dead letter of a message that can not be read, and return its id."""
    await server.platform.bus.append([Outgoing(COMMANDS, "E", b"\x00 not a command")])
    for _ in range(200):
        found = (await server.get("/dead-letters")).json()
        if found["total"]:
            return int(found["results"][0]["id"])
        await server.platform.clock.sleep(0.01)
    raise AssertionError("no dead letter")


async def test_why_names_what_a_task_waits_for(server: Any) -> None:
    await server.deploy(SHELL)
    started = await server.start("company.team/shell")
    answer = (await server.get(f"/executions/{started['id']}/why")).json()
    assert answer["executionId"] == started["id"]
    assert [cause["code"] for cause in answer["causes"]] == ["WAITING_FOR_WORKER"]
    assert answer["causes"][0]["taskId"] == "sh"


async def test_why_of_something_unknown_is_404(server: Any) -> None:
    assert (await server.get("/executions/nothing/why")).status == 404


async def test_why_of_an_execution_that_only_a_dead_letter_remembers(server: Any) -> None:
    await buried(server)
    answer = (await server.get("/executions/E/why")).json()
    assert (answer["state"], answer["causes"][0]["code"]) == (None, "DEAD_LETTER")


SCHEDULED = """
id: nightly
namespace: company.team
tasks:
  - id: log
    type: io.kestra.plugin.core.log.Log
    message: hi
triggers:
  - id: night
    type: io.kestra.plugin.core.trigger.Schedule
    cron: "0 3 * * *"
  - id: door
    type: io.kestra.plugin.core.trigger.Webhook
    key: abcdefgh
"""


async def test_why_of_a_flow_goes_through_its_triggers(server: Any) -> None:
    await server.deploy(SCHEDULED)
    answer = (await server.get("/flows/company.team/nightly/why")).json()
    assert (answer["namespace"], answer["flowId"], answer["revision"]) == ("company.team", "nightly", 1)
    assert [cause["code"] for cause in answer["causes"]] == ["NO_SCHEDULER"]
    assert {each["triggerId"]: each["causes"][0]["code"] for each in answer["triggers"]} == {
        "night": "NOT_SEEN",
        "door": "WEBHOOK",
    }
    one = (await server.get("/flows/company.team/nightly/why?triggerId=door")).json()
    assert [each["triggerId"] for each in one["triggers"]] == ["door"]
    assert (await server.get("/flows/company.team/nightly/why?triggerId=window")).status == 404
    assert (await server.get("/flows/company.team/daily/why")).status == 404


async def test_why_of_a_flow_whose_schedule_a_scheduler_looks_after(server: Any) -> None:
    await server.deploy(SCHEDULED)
    platform = server.platform
    await platform.members.beat("scheduler", "s", 60, {})
    scheduler = compose(platform)
    await scheduler._declaring()
    await scheduler._firing()
    answer = (await server.get("/flows/company.team/nightly/why?triggerId=night")).json()
    assert answer["causes"] == []
    (night,) = answer["triggers"]
    assert night["causes"][0]["code"] == "NEXT_DATE"
    assert night["nextDate"] > await platform.triggers.now()
    await server.post("/flows/disable/by-ids", json=[{"namespace": "company.team", "id": "nightly"}])
    off = (await server.get("/flows/company.team/nightly/why")).json()
    assert off["causes"][0]["code"] == "FLOW_DISABLED"


async def test_a_dead_letter_is_shown_with_its_message(server: Any) -> None:
    id = await buried(server)
    letter = (await server.get(f"/dead-letters/{id}")).json()
    assert (letter["topic"], letter["key"], letter["state"]) == ("commands", "E", "OPEN")
    assert letter["body"] == {"text": "\x00 not a command"}
    assert (await server.get("/dead-letters/99")).status == 404
    assert (await server.get("/dead-letters/x")).status == 404


async def test_what_can_not_be_read_can_not_be_replayed_but_dropped_once(server: Any) -> None:
    id = await buried(server)
    refused = await server.post(f"/dead-letters/{id}/replay")
    assert refused.status == 422
    assert "can not read it" in refused.text
    dropped = await server.delete(f"/dead-letters/{id}")
    assert dropped.json()["state"] == "DROPPED"
    assert (await server.delete(f"/dead-letters/{id}")).status == 409
    assert (await server.get("/dead-letters")).json()["total"] == 0
    assert (await server.get("/dead-letters?handled=true")).json()["total"] == 1


async def test_a_command_that_can_be_read_by_now_is_sent_again(hello: Any) -> None:
    dead = hello.platform.executions.tables.dead
    await buried(hello)
    body = b'{"type":"start_execution","execution_id":"E","namespace":"company.team","flow_id":"hello"}'
    dead[0] = type(dead[0])(
        topic=COMMANDS, partition=0, offset=0, key="E", reason="the flow was broken", body=body, at=1
    )
    replayed = await hello.post("/dead-letters/1/replay")
    assert replayed.json()["state"] == "REPLAYED"
    while (await hello.get("/executions/E")).status == 404:  # the test's own time limit ends this
        await hello.platform.clock.sleep(0.01)
    await hello.until("E", "SUCCESS")
    assert (await hello.post("/dead-letters/1/replay")).status == 409


async def test_reconcile_says_that_a_durable_bus_needs_none(server: Any) -> None:
    assert (await server.post("/reconcile")).json() == {"commands": 0, "more": False, "durableBus": True}


@pytest.mark.parametrize("service", ["", "?service=executor"])
async def test_who_serves(hello: Any, service: str) -> None:
    await hello.ran()
    (executor,) = (await hello.get(f"/cluster/services{service}")).json()
    assert (executor["service"], executor["state"]) == ("executor", "UP")
    assert executor["partitions"] == list(range(hello.platform.bus.partitions))
