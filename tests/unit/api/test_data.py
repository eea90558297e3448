"""Key-value pairs, namespace files, logs, metrics, webhooks, and what concerns the whole server."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from levada import expr
from levada.model.jobs import LogEntry, MetricEntry
from levada.runtime.config.tree import BasicAuth
from levada_api import kv
from levada_api.executions.file import disposition
from levada_api.routing import Match, split


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ('"text"', "STRING", "text"),
        ("hello world", "STRING", "hello world"),
        ('"raw\nline"', "STRING", "raw\nline"),
        ("1", "NUMBER", 1),
        ("1e6", "NUMBER", 1_000_000.0),
        ("true", "BOOLEAN", True),
        ('{"a": [1]}', "JSON", {"a": [1]}),
        ("2022-05-01", "DATE", "2022-05-01"),
        ("2022-05-01T03:02:01Z", "DATETIME", "2022-05-01T03:02:01Z"),
        ("2022-05-01T05:02:01+02:00", "DATETIME", "2022-05-01T03:02:01Z"),
        ("P3DT3H2M1S", "DURATION", "PT75H2M1S"),
        ("PT", "STRING", "PT"),
        ("2022-13-01", "STRING", "2022-13-01"),
        ("null", "JSON", None),
    ],
)
def test_a_value_gets_the_type_that_its_text_has(text, kind, value):
    assert kv.typed(text) == (kind, value)


async def test_key_value_pairs_come_and_go(server):
    assert (await server.put("/namespaces/company.team/kv/my.key", data="P3DT3H2M1S")).status == 200
    assert (await server.get("/namespaces/company.team/kv/my.key")).json()["value"] == "PT75H2M1S"
    listed = (await server.get("/namespaces/company.team/kv")).json()
    assert [each["key"] for each in listed] == ["my.key"]
    assert (await server.get("/kv?filters[namespace][EQUALS]=company.team")).json()["total"] == 1
    assert (await server.get("/namespaces/company.team.data/kv/inheritance")).json()[0]["key"] == "my.key"
    assert (await server.delete("/namespaces/company.team/kv/my.key")).text == "true"
    gone = await server.delete("/namespaces/company.team/kv/my.key")
    assert (gone.status, gone.text) == (200, "false")
    missing = await server.get("/namespaces/company.team/kv/my.key")
    assert missing.status == 404
    assert "No value found for key 'my.key' in namespace 'company.team'" in missing.json()["message"]


async def test_an_expired_value_is_gone_and_not_listed(server):
    await server.put("/namespaces/a/kv/k", data="x", headers={"ttl": "PT0.000000001S"})
    assert (await server.get("/namespaces/a/kv/k")).status == 410
    assert (await server.get("/namespaces/a/kv")).json() == []


async def test_a_key_keeps_to_its_alphabet(server):
    reply = await server.put("/namespaces/a/kv/a b", data="x")
    assert reply.status == 422
    assert "Key must start with" in reply.json()["message"]


def upload(content: bytes, name: str = "file.txt") -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("fileContent", content, filename=name)
    return form


async def test_namespace_files_are_a_small_tree(server):
    files = "/namespaces/company.team/files"
    assert (await server.post(f"{files}?path=/scripts/a.py", data=upload(b"print(1)"))).status == 200
    assert (await server.get(f"{files}?path=scripts/a.py")).body == b"print(1)"
    assert (await server.get(f"{files}/stats?path=/scripts/a.py")).json()["size"] == 8
    assert (await server.get(f"{files}/stats?path=/none")).status == 404
    assert (await server.get(f"{files}/directory?path=/")).json()[0]["type"] == "Directory"
    assert (await server.get(f"{files}/search?q=A.PY")).json() == ["/scripts/a.py"]
    assert (await server.post(f"{files}/directory?path=/empty")).status == 200
    assert (await server.put(f"{files}?from=/scripts/a.py&to=/b.py")).status == 200
    assert (await server.get(f"{files}?path=/scripts/a.py")).status == 404
    assert (await server.get(f"{files}/export")).body[:2] == b"PK"
    assert (await server.delete(f"{files}?path=/b.py")).status == 200
    assert (await server.delete(f"{files}?path=/b.py")).status == 200


@pytest.mark.parametrize("path", ["/../secret", "/a/../../b", "%2e%2e/x", "/a\\..\\b"])
async def test_no_path_leads_out_of_the_namespace(server, path):
    reply = await server.get("/namespaces/company.team/files", params={"path": path})
    assert reply.status == 422


async def test_a_flow_may_be_deployed_as_a_namespace_file(server):
    source = "id: moved\nnamespace: elsewhere\ntasks:\n- {id: a, type: core.log.Log, message: x}\n"
    reply = await server.post("/namespaces/io.test/files?path=/_flows/moved.yml", data=upload(source.encode()))
    assert reply.status == 200
    found = (await server.get("/flows/io.test/moved?source=true")).json()
    assert found["source"] == source.replace("elsewhere", "io.test")


async def test_namespaces_follow_from_their_flows(hello):
    assert (await hello.get("/namespaces/never.seen")).json()["id"] == "never.seen"
    assert (await hello.get("/namespaces/Not%20one")).status == 404
    found = (await hello.get("/namespaces/search")).json()
    assert [each["id"] for each in found["results"]] == ["company", "company.team", "system"]


async def test_logs_are_read_searched_downloaded_and_followed(hello):
    ended = await hello.ran()
    await hello.platform.logs.write(
        [
            LogEntry(
                execution_id=ended["id"], namespace="company.team", flow_id="hello", level="ERROR", message="ouch", at=9
            )
        ]
    )
    lines = (await hello.get(f"/logs/{ended['id']}")).json()
    assert {each["message"] for each in lines} == {"Hi there", "ouch"}
    assert [each["message"] for each in (await hello.get(f"/logs/{ended['id']}?minLevel=ERROR")).json()] == ["ouch"]
    found = (await hello.get("/logs/search", params={"filters[level][EQUALS]": "ERROR"})).json()
    assert (found["total"], found["type"]) == (1, "OFFSET")
    text = await hello.get(f"/logs/{ended['id']}/download")
    assert text.headers["Content-Type"].startswith("text/plain")
    assert " INFO Hi there\n" in text.text
    frames = (await hello.get(f"/logs/{ended['id']}/follow")).text.strip().split("\n\n")
    assert json.loads(frames[-2].split("\n")[1][6:])["message"] in ("Hi there", "ouch")
    assert frames[-1].startswith("id: end")
    assert (await hello.delete(f"/logs/{ended['id']}")).status == 204
    assert (await hello.get(f"/logs/{ended['id']}/download")).text == ""
    assert (await hello.get("/logs/search?minLevel=LOUD")).status == 422


async def test_metrics_of_an_execution(hello):
    ended = await hello.ran()
    entry = MetricEntry(
        execution_id=ended["id"],
        namespace="company.team",
        flow_id="hello",
        task_id="log",
        task_run_id="r",
        name="rows",
        kind="counter",
        value=3.0,
        at=1,
    )
    await hello.platform.metrics.write([entry])
    found = (await hello.get(f"/metrics/{ended['id']}")).json()
    assert found["results"][0]["name"] == "rows"
    assert found["total"] == 1


WEBHOOK = """\
id: hooked
namespace: company.team
tasks:
  - {id: a, type: io.kestra.plugin.core.debug.Return, format: "{{ trigger.body.a ?? 'none' }}"}
triggers:
  - {id: hook, type: io.kestra.plugin.core.trigger.Webhook, key: a-secret-key}
  - {id: other, type: io.kestra.plugin.core.trigger.Webhook, key: "{{ flow.id }}",
     conditions: [{type: io.kestra.plugin.core.condition.Expression, expression: "{{ trigger.body.go == 'yes' }}"}]}
"""


async def test_a_webhook_starts_its_flow_with_body_headers_and_parameters(server):
    await server.deploy(WEBHOOK)
    path = "/executions/webhook/company.team/hooked/a-secret-key"
    made = (await server.post(f"{path}?age=12&age=13", json={"a": 1})).json()
    assert made["trigger"]["type"] == "io.kestra.plugin.core.trigger.Webhook"
    assert made["trigger"]["variables"]["body"] == {"a": 1}
    assert made["trigger"]["variables"]["parameters"] == {"age": ["12", "13"]}
    ended = await server.until(made["id"], "SUCCESS", "FAILED")
    assert ended["taskRunList"][0]["outputs"] == {"value": "1"}
    text = (await server.put(path, data="bla", headers={"Content-Type": "application/json"})).json()
    assert text["trigger"]["variables"]["body"] == "bla"
    assert "body" not in (await server.get(path)).json()["trigger"]["variables"]


async def test_a_condition_that_does_not_hold_starts_nothing(server):
    await server.deploy(WEBHOOK)
    path = "/executions/webhook/company.team/hooked/hooked"
    assert (await server.post(path, json={"go": "no"})).status == 204
    assert (await server.post(path, json={"go": "yes"})).status == 200
    assert (await server.get("/executions/search")).json()["total"] == 1


async def test_a_wrong_key_and_a_missing_flow_look_the_same(server):
    await server.deploy(WEBHOOK)
    await server.deploy(WEBHOOK.replace("id: hooked", "id: off\ndisabled: true"))
    replies = [
        await server.post(f"/executions/webhook/{each}")
        for each in ("company.team/hooked/wrong", "company.team/none/wrong", "none/none/x", "company.team/off/off")
    ]
    assert {reply.status for reply in replies} == {404}
    assert {reply.json()["message"] for reply in replies} == {"Not Found: Flow not found"}


async def test_errors_are_json_in_both_shapes(server):
    missing = await server.get("/nothing/here")
    assert missing.status == 404
    assert missing.headers["Content-Type"] == "application/json"
    body = missing.json()
    assert body["message"].startswith("Not Found: ")
    assert (body["title"], body["status"]) == ("Not Found", 404)
    assert body["_links"]["self"][0]["href"] == "/api/v1/main/nothing/here"
    wrong = await server.call("PATCH", "/flows/a/b")
    assert wrong.status == 405
    assert wrong.headers["Allow"] == "DELETE, GET, HEAD, PUT"
    other = await server.get("/api/v1/other/flows/search")
    assert other.status == 404
    assert "no tenant `other`" in other.json()["message"]


async def test_an_unexpected_error_is_a_500_with_an_id_that_is_in_the_log(server, monkeypatch, caplog):
    async def broken(*_, **__):
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(server.platform.flows, "search", broken)
    reply = await server.get("/flows/search")
    assert reply.status == 500
    assert "secret" not in reply.text
    number = reply.json()["detail"].split("error id ")[1].split(";")[0]
    assert number in caplog.text
    assert "the secret inside" in caplog.text


async def test_the_server_tells_what_it_is(server):
    configs = (await server.get("/api/v1/configs")).json()
    assert configs["version"].startswith("1.")
    assert configs["levadaVersion"]
    assert (await server.get("/configs")).json() == configs
    assert (await server.get("=/ping")).text == "pong"
    core = next(each for each in (await server.get("/api/v1/plugins")).json() if each["name"] == "core")
    assert any(each["cls"] == "io.kestra.plugin.core.log.Log" for each in core["tasks"])
    assert (await server.get("/api/v1/plugins/io.kestra.plugin.core.log.Log")).json()["schema"]
    assert (await server.get("/api/v1/plugins/io.kestra.plugin.core.log.Lug")).status == 404
    functions = (await server.get("/api/v1/pebble/functions")).json()
    assert {each["name"] for each in functions} == set(expr.FUNCTIONS)
    assert (await server.get("/api/v1/pebble/filters")).json() == sorted(expr.FILTERS)


async def test_metrics_are_text_for_prometheus(hello):
    await hello.ran()
    text = (await hello.get("=/metrics")).text
    assert "process_resident_memory_bytes" in text
    assert 'levada_executions{state="RUNNING"} 0' in text
    assert (await hello.get("=/health")).json()["status"] == "UP"


def test_paths_are_split_before_they_are_decoded():
    assert split("/api/v1/flows/a%2Fb/c") == ["api", "v1", "main", "flows", "a%2Fb", "c"]


def test_a_file_name_cannot_break_out_of_its_header():
    assert "\n" not in disposition('a"\r\nX-Evil: 1.txt')
    assert disposition("ü.txt").endswith("filename*=UTF-8''%C3%BC.txt")


def test_a_parameter_of_the_path_keeps_its_slash():
    from levada_api import table

    found = table.router().match("PUT", "/api/v1/main/namespaces/a/kv/a%2Fb")
    assert isinstance(found, Match)
    assert found.params["key"] == "a/b"


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/executions/search?q=%00", {}),
        ("GET", "/flows/a%00b/c", {}),
        ("GET", "/executions/search?page=99999999999999999", {}),
        ("GET", "/flows/a/b?revision=99999999999999", {}),
        ("GET", "/logs/x?attempt=99999999999999", {}),
        ("GET", "/executions/search?startDate=tomorrow", {}),
        ("GET", "/executions/search?filters[state][IN]=NOPE", {}),
        ("GET", "/executions/search?filters[x]=1", {}),
        ("GET", "/executions/search?timeRange=5", {}),
        ("POST", "/executions/latest", {"data": b'[{"namespace": "\\u0000", "id": "a"}]'}),
        ("POST", "/executions/latest", {"data": b"{"}),
        ("POST", "/executions/kill", {"data": b"[" * 100_000}),
        ("POST", "/executions/restart/by-ids", {"data": b"[" * 100_000}),
        ("POST", "/executions/restart/by-ids", {"data": b"[1]"}),
        ("POST", "/executions/change-status/by-ids", {"data": b"[]"}),
        ("POST", "/flows", {"data": b"\xff\xfe"}),
        ("POST", "/flows", {"data": b"x", "headers": {"Content-Type": "text/plain; charset=base64"}}),
        ("POST", "/flows/import", {"data": b"x"}),
        ("PUT", "/namespaces/Bad%20One/kv/k", {"data": b"1"}),
        ("GET", "/namespaces/a/files", {}),
        ("GET", "/executions/distinct-field-values?field=x", {}),
        ("DELETE", "/flows/a/b/revisions?revisions=x", {}),
    ],
)
async def test_a_wrong_request_is_the_clients_fault_never_the_servers(server, method, path, kind):
    reply = await server.call(method, path, **kind)
    assert 400 <= reply.status < 500, reply.text
    assert reply.json()["message"]


async def test_a_header_that_is_no_text_gets_an_answer(serve):
    server = await serve(basic_auth=BasicAuth(username="a", password="b"))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(
        b"GET /api/v1/configs HTTP/1.1\r\nHost: localhost\r\nAuthorization: \xff\xfe x\r\nConnection: close\r\n\r\n"
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"application/json" in answer
