"""Flows over real HTTP."""

from __future__ import annotations

import io
import zipfile

import aiohttp

YAML = {"Content-Type": "application/x-yaml"}
SIMPLE = """\
id: one   # a comment
namespace: company.team
tasks:
  - id: log
    type: io.kestra.plugin.core.log.Log
    message: hi
"""


def flow(name: str, namespace: str = "company.team", message: str = "hi") -> str:
    return SIMPLE.replace("id: one", f"id: {name}").replace("company.team", namespace).replace("hi", message)


async def test_a_flow_is_kept_byte_for_byte(server):
    made = await server.deploy(SIMPLE)
    assert made["revision"] == 1
    assert made["source"] == SIMPLE
    assert made["disabled"] is False
    found = (await server.get("/flows/company.team/one")).json()
    assert "source" not in found
    assert found["tasks"] == [{"id": "log", "type": "io.kestra.plugin.core.log.Log", "message": "hi"}]
    assert (await server.get("/flows/company.team/one?source=true")).json()["source"] == SIMPLE


async def test_labels_come_out_as_an_array(hello):
    assert (await hello.get("/flows/company.team/hello")).json()["labels"] == [{"key": "team", "value": "data"}]


async def test_an_id_that_exists_is_refused(server):
    await server.deploy(SIMPLE)
    reply = await server.post("/flows", data=SIMPLE, headers=YAML)
    assert reply.status == 422
    assert reply.json()["message"] == "Invalid entity: flow.id: Flow id already exists"


async def test_an_update_counts_revisions_only_when_something_changed(server):
    await server.deploy(SIMPLE)
    same = await server.put("/flows/company.team/one", data=SIMPLE, headers=YAML)
    assert (same.status, same.json()["revision"]) == (200, 1)
    other = await server.put("/flows/company.team/one", data=SIMPLE + "# more\n", headers=YAML)
    assert other.json()["revision"] == 2
    assert len((await server.get("/flows/company.team/one/revisions")).json()) == 2
    assert (await server.get("/flows/company.team/one?revision=1&source=true")).json()["source"] == SIMPLE
    assert (await server.put("/flows/company.team/none", data=flow("none"), headers=YAML)).status == 404
    moved = await server.put("/flows/company.team/one", data=flow("two"), headers=YAML)
    assert moved.status == 422
    assert "flow.id: Illegal flow id update" in moved.json()["message"]


async def test_a_new_revision_is_what_the_next_start_runs(server):
    await server.deploy(SIMPLE)
    await server.ran("company.team/one")
    await server.put("/flows/company.team/one", data=flow("one", message="two"), headers=YAML)
    ended = await server.ran("company.team/one")
    assert ended["flowRevision"] == 2
    assert (await server.get(f"/logs/{ended['id']}")).json()[0]["message"] == "two"
    old = await server.ran("company.team/one?revision=1")
    assert old["flowRevision"] == 1


async def test_a_deleted_flow_is_gone_and_its_numbering_goes_on(server):
    await server.deploy(SIMPLE)
    assert (await server.delete("/flows/company.team/one")).status == 204
    assert (await server.get("/flows/company.team/one")).status == 404
    assert (await server.delete("/flows/company.team/one")).status == 404
    assert (await server.post("/executions/company.team/one")).status == 404
    assert (await server.deploy(SIMPLE))["revision"] == 3


async def test_every_mistake_of_a_flow_is_named_with_its_line(server):
    reply = await server.post("/flows", data=SIMPLE + "    nonsense: 1\nwrong: 2\n", headers=YAML)
    assert reply.status == 422
    found = reply.json()["_embedded"]["errors"]
    assert {each["path"] for each in found} == {"tasks[0].nonsense", "wrong"}
    assert {each["line"] for each in found} == {7, 8}


async def test_validate_answers_per_document_and_saves_nothing(server):
    text = SIMPLE + "---\n" + flow("two").replace("core.log.Log", "core.log.Nonsense") + "---\nid: [broken"
    found = (await server.post("/flows/validate", data=text, headers=YAML)).json()
    assert (found[0]["index"], found[0]["flow"], found[0]["namespace"]) == (0, "one", "company.team")
    assert "constraints" not in found[0]
    assert "Nonsense" in found[1]["constraints"]
    assert found[2]["index"] == 2
    assert "constraints" in found[2]
    assert (await server.get("/flows/search")).json()["total"] == 0
    task = await server.post("/flows/validate/task", json={"id": "a", "type": "io.kestra.plugin.core.log.Log"})
    assert "message" in task.json()["constraints"]


async def test_flows_are_searched_by_namespace_text_and_source(server):
    for name, namespace in (("one", "company.team"), ("two", "company.team.data"), ("three", "other")):
        await server.deploy(flow(name, namespace, message=f"secret of {name}"))
    assert (await server.get("/flows/search?namespace=company.team")).json()["total"] == 2
    assert (await server.get("/flows/search", params={"filters[namespace][EQUALS]": "other"})).json()["total"] == 1
    assert [each["id"] for each in (await server.get("/flows/search?sort=id:desc&size=2")).json()["results"]] == [
        "two",
        "three",
    ]
    hits = (await server.get("/flows/source?q=secret%20of%20two")).json()
    assert [each["id"] for each in hits["results"]] == ["two"]
    assert hits["results"][0]["matches"][0]["line"] == 6
    assert [each["id"] for each in (await server.get("/flows/company.team")).json()] == ["one"]
    assert (await server.get("/flows/nowhere")).json() == []
    assert (await server.get("/flows/distinct-namespaces")).json() == ["company.team", "company.team.data", "other"]


async def test_pages_and_sorts_that_make_no_sense_are_refused(server):
    page = await server.get("/flows/search?page=0")
    assert page.status == 422
    assert "find.page: must be greater than or equal to 1" in page.json()["message"]
    assert (await server.get("/flows/search?size=2000")).status == 422
    assert "Invalid sort parameter" in (await server.get("/flows/search?sort=id")).json()["message"]


async def test_a_namespace_is_replaced_as_a_whole(server):
    for name in ("one", "two"):
        await server.deploy(flow(name))
    text = flow("two", message="new") + "---\n" + flow("three")
    reply = await server.post("/flows/company.team", data=text, headers=YAML)
    assert reply.status == 200
    left = (await server.get("/flows/company.team")).json()
    assert {each["id"]: each["revision"] for each in left} == {"two": 2, "three": 1}
    wrong = await server.post("/flows/company.team", data=flow("x", "other"), headers=YAML)
    assert wrong.status == 422
    assert len((await server.get("/flows/company.team")).json()) == 2


async def test_flows_are_disabled_and_enabled_in_their_source(server):
    await server.deploy(SIMPLE)
    names = [{"namespace": "company.team", "id": "one"}]
    assert (await server.post("/flows/disable/by-ids", json=names)).json()["count"] == 1
    assert (await server.post("/flows/disable/by-ids", json=names)).json()["count"] == 0
    found = (await server.get("/flows/company.team/one?source=true")).json()
    assert found["disabled"] is True
    assert found["source"].endswith("disabled: true\n")
    assert (await server.post("/flows/enable/by-query?namespace=company")).json()["count"] == 1
    assert (await server.delete("/flows/delete/by-ids", json=names)).json()["count"] == 1


async def test_flows_travel_as_archives(server):
    await server.deploy(SIMPLE)
    archive = await server.get("/flows/export/by-query?namespace=company.team")
    with zipfile.ZipFile(io.BytesIO(archive.body)) as files:
        assert files.namelist() == ["company.team.one.yml"]
    await server.delete("/flows/company.team/one")
    form = aiohttp.FormData()
    form.add_field("fileUpload", archive.body, filename="flows.zip")
    assert (await server.post("/flows/import", data=form)).json() == []
    assert (await server.get("/flows/company.team/one")).status == 200


async def test_one_task_is_shown_as_written(hello):
    assert (await hello.get("/flows/company.team/hello/tasks/log")).json()["id"] == "log"
    assert (await hello.get("/flows/company.team/hello/tasks/none")).status == 404
    missing = await hello.get("/flows/company.team/none/graph")
    assert missing.json()["message"] == "Not Found: Unable to find flow company.team_none"
