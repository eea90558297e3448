"""The audit log of the API: who changed what, over real HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from levada.model.audit import AuditEntry, Outcome
from levada.model.errors import Transient
from levada.runtime.auditing import AuditTrail
from levada.runtime.clock import SystemClock
from levada.runtime.config.tree import BasicAuth

from .conftest import HELLO, Serve, Server


async def audited(server: Server, **query: Any) -> list[dict[str, Any]]:
    """Write what waits, then ask for the records."""
    await server.api.trail.close()
    return list((await server.get("/auditlogs/search", params={"size": "100"} | query)).json()["results"])


async def test_what_changes_something_is_recorded_with_who_and_what(server: Server) -> None:
    await server.deploy(HELLO)
    run = await server.ran()
    await server.get("/flows/company.team/hello")
    await server.post("/flows/validate", data=HELLO)
    started, deployed = await audited(server)
    assert (deployed["type"], deployed["action"], deployed["objectId"]) == ("FLOW", "CREATE", "hello")
    assert (deployed["namespace"], deployed["outcome"], deployed["status"]) == ("company.team", "DONE", 200)
    assert (deployed["userId"], deployed["ipAddress"]) == ("anonymous", "127.0.0.1")
    assert deployed["detail"] == {"route": "POST /api/v1/{tenant}/flows", "revision": 1}
    assert (started["type"], started["action"], started["objectId"]) == ("EXECUTION", "CREATE", run["id"])
    assert started["detail"]["path"] == {"namespace": "company.team", "id": "hello"}


async def test_what_was_refused_or_denied_is_recorded_too(serve: Serve) -> None:
    server = await serve(basic_auth=BasicAuth("ada", "s3cret-word"))
    wrong, right = ({"Authorization": aiohttp.encode_basic_auth("ada", word)} for word in ("guess", "s3cret-word"))
    assert (await server.post("/flows", data=HELLO, headers=wrong)).status == 401
    assert (await server.delete("/flows/company.team/nothing", headers=right)).status == 404
    await server.api.trail.close()
    reply = await server.get("/auditlogs/search", headers=right)
    refused, denied = reply.json()["results"]
    assert (denied["userId"], denied["outcome"], denied["status"]) == ("anonymous", "DENIED", 401)
    assert (refused["userId"], refused["outcome"], refused["objectId"]) == ("ada", "REFUSED", "nothing")
    assert (await server.get("/auditlogs/search")).status == 401


async def test_secrets_are_in_no_record(serve: Serve) -> None:
    server = await serve()
    server.platform.secrets = {"DB": "hunter2hunter2"}
    flow = (
        HELLO + "triggers:\n  - id: hook\n    type: io.kestra.plugin.core.trigger.Webhook\n    key: k3y-of-the-hook\n"
    )
    await server.deploy(flow)
    await server.put("/namespaces/company.team/kv/db?note=x-hunter2hunter2&apiToken=abc", data='"my-value"')
    await server.post("/executions/webhook/company.team/hello/k3y-of-the-hook?p=private", json={"a": "body-secret"})
    assert (await server.post("/executions/webhook/company.team/hello/wrong-key")).status == 404
    records = await audited(server)
    text = str(records)
    for hidden in ("hunter2", "abc", "my-value", "k3y-of-the-hook", "private", "body-secret"):
        assert hidden not in text
    hook, put, _ = records  # and none of the webhook that started nothing
    assert hook["userId"] == "webhook"
    assert hook["detail"]["path"] == {"namespace": "company.team", "id": "hello", "key": "***"}
    assert hook["detail"]["query"] == {"p": ["***"]}
    assert (put["type"], put["objectId"]) == ("KV", "db")
    assert put["detail"]["query"] == {"note": ["***"], "apiToken": ["***"]}


async def test_an_answer_can_be_found_by_the_id_of_its_request(server: Server) -> None:
    given = await server.post("/flows", data=HELLO, headers={"X-Request-Id": "call-7"})
    drawn = await server.delete("/flows/company.team/hello")
    assert given.headers["X-Request-Id"] == "call-7"
    second, first = await audited(server)
    assert first["requestId"] == "call-7"
    assert second["requestId"] == second["id"] == drawn.headers["X-Request-Id"]


async def test_bulk_actions_say_how_many(server: Server) -> None:
    await server.deploy(HELLO)
    runs = [await server.ran(), await server.ran()]
    await server.delete("/executions/by-ids", json=[run["id"] for run in runs])
    record, *_ = await audited(server)
    assert (record["type"], record["action"], record["detail"]["count"]) == ("EXECUTION", "DELETE", 2)


async def test_records_are_searched_by_what_they_say(server: Server) -> None:
    await server.deploy(HELLO)
    run = await server.ran()
    await server.delete("/flows/company.team/none")
    assert [one["objectId"] for one in await audited(server, type="execution")] == [run["id"]]
    assert [one["objectId"] for one in await audited(server, outcome="refused")] == ["none"]
    assert [one["action"] for one in await audited(server, action="create", namespace="company")] == [
        "CREATE",
        "CREATE",
    ]
    assert [one["objectId"] for one in await audited(server, q="NONE")] == ["none"]
    assert (await server.get("/auditlogs/search?outcome=maybe")).status == 422
    assert await audited(server, startDate="2999-01-01T00:00:00Z") == []


# --- the trail


class Sink:
    def __init__(self) -> None:
        self.written: list[AuditEntry] = []
        self.away = 0
        self.refuses: set[str] = set()

    async def write_audit(self, entries: Any) -> None:
        if self.away:
            self.away -= 1
            raise Transient("away")
        if any(entry.id in self.refuses for entry in entries):
            raise ValueError("no")
        self.written += entries


def entry(id: str) -> AuditEntry:
    return AuditEntry(id=id, at=1, who="ada", action="update", kind="flow", outcome=Outcome.DONE)


async def test_a_sink_that_is_away_is_waited_out() -> None:
    sink = Sink()
    sink.away = 2
    trail = AuditTrail(sink, SystemClock())
    trail.add(entry("a"))
    await trail.close()
    assert [one.id for one in sink.written] == ["a"]


async def test_what_is_lost_is_said_in_the_log_and_in_the_audit_log(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    trail = AuditTrail(sink, SystemClock(), waiting_max=2)
    for id in "abcd":
        trail.add(entry(id))
    await trail.close()
    assert [one.id for one in sink.written[:2]] == ["a", "b"]
    assert (sink.written[2].who, sink.written[2].details) == ("levada", {"lost": 2})
    assert "records are lost" in caplog.text


async def test_what_a_sink_refuses_does_not_stop_the_rest() -> None:
    sink = Sink()
    sink.refuses = {"bad"}
    trail = AuditTrail(sink, SystemClock())
    trail.add(entry("bad"))
    await asyncio.sleep(0.3)
    trail.add(entry("good"))
    await trail.close()
    assert [one.who for one in sink.written] == ["levada", "ada"]
