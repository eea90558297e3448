"""What the webhook service answers, and what it can not be made to do."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from levada.store.records import AuditFilter

FLOW = """
id: hooked
namespace: company.team
inputs: [{id: n, type: INT, defaults: 3}]
tasks: [{id: t, type: core.output.OutputValues, values: {got: "{{ trigger.body.a ?? 'nothing' }}"}}]
outputs: [{id: got, type: STRING, value: "{{ outputs.t.values.got }}"}]
triggers:
  - {id: plain, type: io.kestra.plugin.core.trigger.Webhook, key: a-secret-key}
  - {id: vault, type: core.trigger.Webhook, key: "{{ secret('HOOK') }}", labels: {who: "{{ trigger.body.who }}"}}
  - {id: only, type: core.trigger.Webhook, key: only-when-going, when: "{{ trigger.body.go == 'yes' }}"}
  - {id: typed, type: core.trigger.Webhook, key: with-inputs, inputs: {n: "{{ trigger.body.n }}"}}
  - {id: off, type: core.trigger.Webhook, key: switched-off, disabled: true}
  - {id: ends, type: core.trigger.Webhook, key: wait-for-end, wait: true}
  - {id: returns, type: core.trigger.Webhook, key: wait-outputs, wait: true, returnOutputs: true, responseCode: 202}
  - {id: text, type: core.trigger.Webhook, key: wait-text, wait: true, returnOutputs: true,
     responseContentType: text/plain}
"""


@pytest.fixture(autouse=True)
async def deployed(server: Any) -> None:
    await server.deploy(FLOW)


async def test_a_webhook_starts_its_flow(server: Any) -> None:
    reply = await server.post("hooked/a-secret-key?age=12&age=13", json={"a": 1})
    assert reply.status == 200
    made = reply.json()
    assert made["state"]["current"] == "CREATED"
    assert made["trigger"]["type"] == "io.kestra.plugin.core.trigger.Webhook"
    assert made["trigger"]["variables"]["body"] == {"a": 1}
    assert made["trigger"]["variables"]["parameters"] == {"age": ["12", "13"]}
    (execution,) = await server.executions()
    assert (execution.id, execution.state) == (made["id"], "SUCCESS")
    assert execution.outputs == {"got": "1"}


async def test_what_a_webhook_starts_is_in_the_audit_log_without_its_key(server: Any) -> None:
    made = (await server.post("hooked/a-secret-key?token=mine", json={"a": "private"})).json()
    assert (await server.post("hooked/wrong-key")).status == 404
    await server.trail.close()
    (entry,), _ = await server.platform.audit.search("main", AuditFilter())
    assert (entry.who, entry.action, entry.kind, entry.object) == ("webhook", "create", "execution", made["id"])
    assert (entry.namespace, entry.details["path"]) == (
        "company.team",
        {"namespace": "company.team", "id": "hooked"},
    )
    for hidden in ("a-secret-key", "mine", "private"):
        assert hidden not in str(entry)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_the_three_methods_with_and_without_a_tenant(server: Any, method: str) -> None:
    assert (await server.call(method, "hooked/a-secret-key")).status == 200
    without = "/api/v1/executions/webhook/company.team/hooked/a-secret-key"
    assert (await server.call(method, without)).status == 200
    assert len(await server.executions()) == 2


async def test_a_key_may_be_a_secret_and_labels_are_rendered(server: Any) -> None:
    reply = await server.post("hooked/from-the-vault", json={"who": "me"})
    assert {"key": "who", "value": "me"} in reply.json()["labels"]


async def test_a_condition_that_does_not_hold_starts_nothing(server: Any) -> None:
    reply = await server.post("hooked/only-when-going", json={"go": "no"})
    assert (reply.status, reply.body) == (204, b"")
    assert await server.executions() == []
    assert (await server.post("hooked/only-when-going", json={"go": "yes"})).status == 200


async def test_wrong_inputs_are_named(server: Any) -> None:
    reply = await server.post("hooked/with-inputs", json={"n": "many"})
    assert reply.status == 422
    assert reply.json()["_embedded"]["errors"][0]["path"] == "inputs.n"


async def test_everything_that_is_wrong_looks_the_same(server: Any) -> None:
    await server.deploy(FLOW.replace("id: hooked", "id: gone\ndisabled: true"), id="gone", disabled=True)
    await server.deploy(FLOW.replace("id: hooked", "id: draft"), id="draft", draft=True)
    paths = ["hooked/wrong", "none/wrong", "hooked/switched-off", "gone/a-secret-key", "draft/a-secret-key", "hooked/é"]
    replies = [await server.post(path, json={}) for path in paths]
    assert {reply.status for reply in replies} == {404}
    assert {reply.json()["message"] for reply in replies} == {"Not Found: Flow not found"}
    assert {reply.json()["_links"]["self"][0]["href"].rpartition("/")[2] for reply in replies} == {"******"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/metrics",
        "/api/v1/main/flows/search",
        "/api/v1/other/executions/webhook/company.team/hooked/a-secret-key",
        "/api/v1/main/executions/webhook/company.team/hooked",
        "/api/v1/main/executions/webhook/company.team/hooked/a-secret-key/more",
        "/api/v1/main/executions/webhook/company.team%00/hooked/a-secret-key",
    ],
)
async def test_there_is_nothing_else(server: Any, path: str) -> None:
    assert (await server.call("GET", path)).status == 404


async def test_other_methods_are_refused(server: Any) -> None:
    reply = await server.call("DELETE", "hooked/a-secret-key")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, POST, PUT")


# --- repeats


async def test_a_repeated_key_gets_the_same_execution(server: Any) -> None:
    replies = await asyncio.gather(
        *(server.post("hooked/a-secret-key", json={"a": n}, headers={"Idempotency-Key": "order-7"}) for n in range(10))
    )
    assert {reply.status for reply in replies} == {200}
    (id,) = {reply.json()["id"] for reply in replies}
    assert sum("Idempotent-Replayed" in reply.headers for reply in replies) == 9
    assert [execution.id for execution in await server.executions()] == [id]
    other = await server.post("hooked/a-secret-key", json={}, headers={"Idempotency-Key": "order-8"})
    assert other.json()["id"] != id


async def test_a_start_that_was_not_sent_is_sent_by_the_repeat(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        from levada.model.errors import Transient

        raise Transient("the bus is away")

    key = {"Idempotency-Key": "order-9"}
    with monkeypatch.context() as patched:
        patched.setattr(server.platform.commands, "send", broken)
        refused = await server.post("hooked/a-secret-key", json={}, headers=key)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert await server.executions() == []
    made = await server.post("hooked/a-secret-key", json={}, headers=key)
    assert [execution.id for execution in await server.executions()] == [made.json()["id"]]


async def test_a_key_that_is_too_long_is_refused(server: Any) -> None:
    reply = await server.post("hooked/a-secret-key", headers={"Idempotency-Key": "x" * 256})
    assert reply.status == 400


# --- waiting


async def test_waiting_for_the_end(server: Any) -> None:
    reply = await server.post("hooked/wait-for-end", json={"a": "x"})
    assert reply.json()["state"]["current"] == "SUCCESS"
    assert reply.json()["outputs"] == {"got": "x"}
    returned = await server.post("hooked/wait-outputs", json={"a": "y"})
    assert (returned.status, returned.json()) == (202, {"got": "y"})
    text = await server.post("hooked/wait-text", json={"a": "z"})
    assert (text.body, text.headers["Content-Type"].partition(";")[0]) == (b"z", "text/plain")


# --- limits


async def test_a_body_that_is_too_large_is_refused(server: Any) -> None:
    assert (await server.post("hooked/a-secret-key", data=b"x" * 100_001)).status == 413

    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 10_000

    assert (await server.post("hooked/a-secret-key", data=chunks())).status == 413
    assert (await server.post("hooked/a-secret-key", data=b"x" * 100_000)).status == 200


async def talk(server: Any, *parts: bytes, pause_s: float = 0.1) -> bytes:
    """Send parts with pauses, and return all that comes until the other side closes."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


HEAD = b"POST /api/v1/main/executions/webhook/company.team/hooked/a-secret-key HTTP/1.1\r\nHost: x\r\n"


async def test_a_body_that_is_too_slow_is_given_up(server: Any) -> None:
    said = await talk(server, HEAD + b"Content-Length: 100\r\n\r\n", b"a", b"b")
    assert b"408" in said
    assert b"webhook.body_timeout" in said
    assert await server.executions() == []


async def test_a_head_that_is_too_slow_is_given_up(server: Any) -> None:
    assert await talk(server, HEAD, b"X-A: 1\r\n", b"X-B: 2\r\n", pause_s=0.3) == b""


async def test_heads_are_limited(server: Any) -> None:
    assert b" 400 " in await talk(server, HEAD + b"X-A: " + b"x" * 9000 + b"\r\n\r\n")
    many = b"".join(b"X-%d: 1\r\n" % n for n in range(200))
    assert b" 400 " in await talk(server, HEAD + many + b"\r\n")


async def test_an_unexpected_error_shows_neither_insides_nor_key(
    server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(server.platform.flows, "get", broken)
    with caplog.at_level(logging.DEBUG):
        reply = await server.post("hooked/a-secret-key")
    assert reply.status == 500
    assert b"secret inside" not in reply.body
    assert "a-secret-key" not in "".join(record.getMessage() for record in caplog.records if "levada" in record.name)
