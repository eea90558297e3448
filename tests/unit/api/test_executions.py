"""Executions over real HTTP."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from levada.flowfile import BrokenFlow


async def test_a_started_execution_is_answered_as_created_and_runs_to_its_end(hello):
    started = await hello.start()

    assert started["state"]["current"] == "CREATED"
    assert started["labels"][0] == {"key": "team", "value": "data"}
    assert started["labels"][-1] == {"key": "system.correlationId", "value": started["id"]}
    assert started["url"].endswith(f"/company.team/hello/{started['id']}")
    ended = await hello.until(started["id"], "SUCCESS")
    assert [run["taskId"] for run in ended["taskRunList"]] == ["values", "log"]
    assert ended["taskRunList"][0]["outputs"] == {"values": {"greeting": "Hi"}}
    assert [each["state"] for each in ended["state"]["histories"]] == ["CREATED", "RUNNING", "SUCCESS"]
    assert ended["originalId"] == started["id"]


async def test_an_execution_can_be_read_right_after_its_start(hello):
    for _ in range(20):
        started = await hello.start()
        assert (await hello.get(f"/executions/{started['id']}")).status == 200


async def test_no_answer_holds_a_null(hello):
    started = await hello.ran()
    assert "null" not in (await hello.get(f"/executions/{started['id']}")).text


async def test_wait_answers_with_the_end_state(hello):
    ended = await hello.start("company.team/hello?wait=true")
    assert ended["state"]["current"] == "SUCCESS"


async def test_labels_of_the_request_are_added_and_replace_those_of_the_flow(hello):
    started = await hello.start("company.team/hello?labels=team:web&labels=url:http://a.b")
    assert started["labels"][:2] == [{"key": "team", "value": "web"}, {"key": "url", "value": "http://a.b"}]
    assert (await hello.until(started["id"], "SUCCESS"))["labels"] == started["labels"]


@pytest.mark.parametrize("label", ["system.x:y", ":v", "k:"])
async def test_a_wrong_or_reserved_label_is_refused(hello, label):
    reply = await hello.post("/executions/company.team/hello", params={"labels": label})
    assert reply.status == 422


async def test_a_missing_flow_is_404_and_a_disabled_one_409(server):
    assert (await server.post("/executions/company.team/none")).status == 404
    await server.deploy(
        "id: off\nnamespace: company.team\ndisabled: true\ntasks:\n- {id: a, type: core.log.Log, message: x}\n"
    )
    reply = await server.post("/executions/company.team/off")
    assert reply.status == 409
    assert "disabled" in reply.json()["message"]


async def test_a_second_start_with_the_tenant_left_out_is_the_same_route(hello):
    reply = await hello.post("/api/v1/executions/company.team/hello")
    assert reply.status == 200


async def test_executions_are_found_by_flow_namespace_state_and_label(hello):
    one = await hello.ran("company.team/hello?labels=a:b")
    await hello.ran()
    for query in (
        {"namespace": "company"},
        {"filters[namespace][PREFIX]": "company"},
        {"filters[state][IN]": "SUCCESS,FAILED", "filters[flowId][EQUALS]": "hello"},
    ):
        found = (await hello.get("/executions/search", params=query)).json()
        assert found["total"] == 2, query
    for query in ({"labels": "a:b"}, {"filters[labels][EQUALS][a]": "b"}):
        found = (await hello.get("/executions/search", params=query)).json()
        assert [each["id"] for each in found["results"]] == [one["id"]], query
    listed = (await hello.get("/executions", params={"namespace": "company.team", "flowId": "hello"})).json()
    assert listed["total"] == 2


async def test_a_filter_that_is_not_understood_is_refused_by_name(hello):
    reply = await hello.get("/executions/search", params={"filters[nonsense][EQUALS]": "1"})
    assert reply.status == 400
    assert "nonsense" in reply.json()["message"]


async def test_follow_sends_the_execution_until_it_ends(hello):
    started = await hello.start()
    frames = (await hello.get(f"/executions/{started['id']}/follow")).text.strip().split("\n\n")
    last = frames[-1].split("\n")
    assert last[0] == "id: end"
    assert json.loads(last[1].removeprefix("data: "))["state"]["current"] == "SUCCESS"


PAUSED = """\
id: paused
namespace: company.team
tasks:
  - id: pause
    type: io.kestra.plugin.core.flow.Pause
    onResume:
      - {id: asked, type: STRING}
      - {id: data, type: FILE, required: false}
  - id: last
    type: io.kestra.plugin.core.debug.Return
    format: "{{ outputs.pause.onResume.asked }}"
"""


async def test_resume_wants_what_the_pause_asks_for(server):
    await server.deploy(PAUSED)
    started = await server.start("company.team/paused")
    await server.until(started["id"], "PAUSED")

    refused = await server.post(f"/executions/{started['id']}/resume")
    assert refused.status == 422
    assert "Invalid input for `asked`, missing required input, but received `null`" in refused.json()["message"]
    form = aiohttp.FormData({"asked": "me"}, default_to_multipart=True)
    form.add_field("data", b"content", filename="data")
    assert (await server.post(f"/executions/{started['id']}/resume", data=form)).status == 204
    ended = await server.until(started["id"], "SUCCESS", "FAILED")
    assert ended["taskRunList"][-1]["outputs"] == {"value": "me"}
    uri = ended["taskRunList"][0]["outputs"]["onResume"]["data"]
    stored = await server.get(f"/executions/{started['id']}/file", params={"path": uri})
    assert stored.body == b"content"
    again = await server.post(f"/executions/{started['id']}/resume", data={"asked": "me"})
    assert again.status == 409


async def test_a_paused_execution_is_killed_by_either_path(server):
    await server.deploy(PAUSED)
    for path in ("kill", "actions/kill"):
        started = await server.start("company.team/paused")
        await server.until(started["id"], "PAUSED")
        reply = await server.delete(f"/executions/{started['id']}/{path}")
        assert reply.status == (202 if path == "kill" else 200)
        await server.until(started["id"], "KILLED")
    assert (await server.delete("/executions/0000000000000000000000/kill")).status == 404


FAILING = """\
id: failing
namespace: company.team
tasks:
  - {id: first, type: core.log.Log, message: one}
  - {id: fail, type: core.execution.Fail}
"""


async def test_restart_answers_with_the_execution_before_it_goes_on(server):
    await server.deploy(FAILING)
    failed = await server.ran("company.team/failing")
    assert failed["state"]["current"] == "FAILED"

    restarted = (await server.post(f"/executions/{failed['id']}/restart")).json()

    assert restarted["id"] == failed["id"]
    assert restarted["state"]["current"] == "RESTARTED"
    await server.until(failed["id"], "FAILED")


async def test_replay_makes_a_new_execution_that_knows_its_original(hello):
    first = await hello.ran()
    replayed = (await hello.post(f"/executions/{first['id']}/replay")).json()
    assert replayed["id"] != first["id"]
    assert replayed["originalId"] == first["id"]
    await hello.until(replayed["id"], "SUCCESS")
    from_log = (
        await hello.post(f"/executions/{first['id']}/replay", params={"taskRunId": first["taskRunList"][1]["id"]})
    ).json()
    assert len(from_log["taskRunList"]) == 2
    await hello.until(from_log["id"], "SUCCESS")


async def test_the_state_of_a_task_run_or_execution_is_changed_by_hand(server):
    await server.deploy(FAILING)
    failed = await server.ran("company.team/failing")
    reply = await server.post(
        f"/executions/{failed['id']}/state", json={"taskRunId": failed["taskRunList"][1]["id"], "state": "SUCCESS"}
    )
    assert reply.status == 200, reply.text
    assert (await server.until(failed["id"], "SUCCESS"))["taskRunList"][1]["state"]["current"] == "SUCCESS"
    changed = await server.post(f"/executions/{failed['id']}/change-status", params={"status": "WARNING"})
    assert changed.json()["state"]["current"] == "WARNING"
    await server.until(failed["id"], "WARNING")


async def test_labels_are_set_on_an_ended_execution(hello):
    ended = await hello.ran()
    reply = await hello.post(f"/executions/{ended['id']}/labels", json=[{"key": "a", "value": "b"}])
    assert reply.status == 200
    assert {"key": "a", "value": "b"} in reply.json()["labels"]
    for wrong in ([{"key": None, "value": None}], [{"key": "system.a", "value": "b"}], {"a": "b"}):
        assert (await hello.post(f"/executions/{ended['id']}/labels", json=wrong)).status == 422
    missing = await hello.post("/executions/0000000000000000000000/labels", json=[{"key": "a", "value": "b"}])
    assert missing.status == 404


async def test_a_deleted_execution_is_gone_with_its_logs(hello):
    ended = await hello.ran()
    assert (await hello.delete(f"/executions/{ended['id']}")).status == 204
    assert (await hello.get(f"/executions/{ended['id']}")).status == 404
    assert (await hello.get(f"/logs/{ended['id']}")).json() == []
    assert (await hello.delete(f"/executions/{ended['id']}")).status == 404


async def test_bulk_operations_do_all_or_nothing(hello):
    ids = [(await hello.ran())["id"] for _ in range(3)]
    refused = await hello.post("/executions/change-status/by-ids?newStatus=WARNING", json=[*ids, "nope"])
    assert refused.status == 400
    assert refused.json()["message"] == "invalid bulk change-status"
    assert [each["invalidValue"] for each in refused.json()["invalids"]] == ["nope"]
    assert (await hello.get(f"/executions/{ids[0]}")).json()["state"]["current"] == "SUCCESS"

    done = await hello.post("/executions/change-status/by-ids?newStatus=WARNING", json=ids)
    assert done.json()["count"] == 3
    for execution_id in ids:
        await hello.until(execution_id, "WARNING")
    replayed = await hello.post("/executions/replay/by-query?namespace=company.team")
    assert replayed.json()["count"] == 3
    deleted = await hello.delete("/executions/by-ids", json=ids)
    assert deleted.json()["count"] == 3


async def test_delete_by_query_never_widens_a_query_for_running_executions(hello):
    await hello.ran()
    reply = await hello.delete("/executions/by-query", params={"state": "RUNNING"})
    assert reply.json()["count"] == 0
    assert (await hello.get("/executions/search")).json()["total"] == 1


async def test_a_flow_may_be_called_like_an_action(server):
    await server.deploy("id: restart\nnamespace: company.team\ntasks:\n- {id: a, type: core.log.Log, message: x}\n")
    started = await server.start("company.team/restart")
    assert started["flowId"] == "restart"
    assert (await server.post("/executions/notfound/pause")).status == 404


async def test_an_expression_is_evaluated_in_the_context_of_a_task_run(hello):
    ended = await hello.ran()
    run = ended["taskRunList"][1]["id"]
    for path in (f"eval/{run}", "eval", "actions/eval"):
        reply = await hello.post(
            f"/executions/{ended['id']}/{path}",
            data="{{ outputs.values.values.greeting | upper }}",
            headers={"Content-Type": "text/plain"},
        )
        assert reply.json() == {"result": "HI"}
    wrong = await hello.post(f"/executions/{ended['id']}/eval/{run}", data="{{ nothing.here }}")
    assert wrong.status == 200
    assert "nothing" in wrong.json()["error"]


async def test_the_flow_of_an_execution_stays_readable_after_its_deletion(hello):
    ended = await hello.ran()
    await hello.delete("/flows/company.team/hello")
    shown = (await hello.get(f"/executions/{ended['id']}/flow")).json()
    assert [task["id"] for task in shown["tasks"]] == ["values", "log"]
    assert "message" not in shown["tasks"][1]


async def test_latest_and_outputs_and_file_of_another_execution(hello):
    ended = await hello.ran()
    latest = (await hello.post("/executions/latest", json=[{"namespace": "company.team", "id": "hello"}])).json()
    assert latest[0]["id"] == ended["id"]
    assert latest[0]["status"] == "SUCCESS"
    runs = (await hello.get(f"/outputs/tasks/{ended['id']}")).json()
    assert [each["taskId"] for each in runs] == ["values"]
    values = await hello.get(f"/outputs/tasks/{ended['id']}/{runs[0]['taskRunId']}")
    assert values.json() == {"values": {"greeting": "Hi"}}
    elsewhere = await hello.get(
        f"/executions/{ended['id']}/file", params={"path": "kestra:///a/b/executions/OTHER000000000000000000/x.txt"}
    )
    assert elsewhere.status == 301
    assert "/executions/OTHER000000000000000000/file?path=" in elsewhere.headers["Location"]
    assert (await hello.get(f"/executions/{ended['id']}/file", params={"path": "file:///etc/passwd"})).status == 422


async def test_a_scheduled_start_waits_for_its_date(hello):
    started = await hello.start("company.team/hello?scheduleDate=2100-01-01T00:00:00Z")
    assert started["scheduleDate"].startswith("2100-01-01T00:00:00")
    await asyncio.sleep(0.05)
    assert (await hello.get(f"/executions/{started['id']}")).json()["state"]["current"] == "CREATED"


async def test_followers_and_waiting_callers_end_when_the_server_stops(server):
    await server.deploy(PAUSED)
    waiting = asyncio.create_task(server.post("/executions/company.team/paused?wait=true"))
    started = await server.start("company.team/paused")
    following = asyncio.create_task(server.get(f"/executions/{started['id']}/follow"))
    await asyncio.sleep(0.1)
    server.api.streams.stop()
    async with asyncio.timeout(2):
        assert (await waiting).status == 503
        frames = (await following).text
    assert frames.startswith("id: start")


async def test_an_execution_of_an_unreadable_flow_can_still_be_killed_and_deleted(server, monkeypatch):
    await server.deploy(PAUSED)
    started = await server.start("company.team/paused")
    await server.until(started["id"], "PAUSED")
    broken = BrokenFlow(await server.platform.flows.get("main", "company.team", "paused"), [])
    monkeypatch.setattr(server.api.flows, "_kept", lambda key: broken)
    assert (await server.post(f"/executions/{started['id']}/pause")).status == 409
    assert (await server.delete(f"/executions/{started['id']}/kill")).status == 202
    await server.until(started["id"], "KILLED")
