"""Inputs of a start, as the different clients send them."""

from __future__ import annotations

import aiohttp
import pytest

from levada.runtime.config.tree import Limits

FLOW = """\
id: asks
namespace: company.team
inputs:
  - {id: name, type: STRING, defaults: World}
  - {id: n, type: INT, required: false}
  - {id: flag, type: BOOLEAN, required: false}
  - {id: data, type: JSON, required: false}
  - {id: file, type: FILE, required: false}
tasks:
  - {id: a, type: io.kestra.plugin.core.debug.Return, format: "{{ inputs.name }}"}
"""


@pytest.fixture
async def asks(server):
    await server.deploy(FLOW)
    return server


def form(**fields: str) -> aiohttp.FormData:
    return aiohttp.FormData(fields, default_to_multipart=True)


async def test_multipart_texts_are_typed_by_the_declaration(asks):
    started = await asks.start(
        "company.team/asks", data=form(name="Ann", n="3", flag="true", data='{"a": [1]}', other="x")
    )
    assert started["inputs"] == {"name": "Ann", "n": 3, "flag": True, "data": {"a": [1]}, "file": None}


async def test_no_body_means_defaults(asks):
    assert (await asks.start("company.team/asks"))["inputs"]["name"] == "World"


async def test_json_and_form_bodies_are_taken_too(asks):
    assert (await asks.start("company.team/asks", json={"name": "Bob", "n": 4}))["inputs"]["n"] == 4
    assert (await asks.start("company.team/asks", data={"name": "Eve"}))["inputs"]["name"] == "Eve"


@pytest.mark.parametrize(("part", "filename"), [("file", "report.txt"), ("files", "file")])
async def test_a_file_is_stored_under_its_execution(asks, part, filename):
    sent = form(name="x")
    sent.add_field(part, b"line\n" * 1000, filename=filename)
    started = await asks.start("company.team/asks", data=sent)
    uri = started["inputs"]["file"]
    assert uri == f"kestra:///company/team/asks/executions/{started['id']}/inputs/file/{filename}"
    stored = await asks.get(f"/executions/{started['id']}/file", params={"path": uri})
    assert stored.body == b"line\n" * 1000
    assert "attachment" in stored.headers["Content-Disposition"]
    assert (await asks.get(f"/executions/{started['id']}/file/metas", params={"path": uri})).json() == {"size": 5000}
    shown = (await asks.get(f"/executions/{started['id']}/file/preview", params={"path": uri, "maxRows": "2"})).json()
    assert (shown["content"], shown["truncated"], shown["type"]) == ("line\nline", True, "TEXT")
    wrong = await asks.get(f"/executions/{started['id']}/file/preview", params={"path": uri, "encoding": "foo"})
    assert "using encoding 'foo'" in wrong.json()["message"]


async def test_an_empty_file_counts_as_not_given(asks):
    sent = form()
    sent.add_field("file", b"", filename="x.txt")
    assert (await asks.start("company.team/asks", data=sent))["inputs"]["file"] is None


async def test_a_wrong_input_is_named_and_nothing_stays_stored(asks):
    sent = form(n="abc")
    sent.add_field("file", b"content", filename="x.txt")
    reply = await asks.post("/executions/company.team/asks", data=sent)
    assert reply.status == 422
    assert "n: Invalid input for `n`" in reply.json()["message"]
    assert "but received `abc`" in reply.json()["message"]
    assert reply.json()["_embedded"]["errors"][0]["path"] == "inputs.n"
    assert not [stat for stat in await asks.platform.files.list("kestra:///", recursive=True) if not stat.is_folder]


async def test_labels_may_come_as_parts(asks):
    started = await asks.start("company.team/asks", data=form(labels="a:b"))
    assert started["labels"][0] == {"key": "a", "value": "b"}


async def test_what_is_no_multipart_is_refused(asks):
    broken = await asks.post(
        "/executions/company.team/asks", data=b"--x\r\nnonsense", headers={"Content-Type": "multipart/form-data"}
    )
    assert broken.status == 422
    assert (
        await asks.post("/executions/company.team/asks", data=b"x", headers={"Content-Type": "text/csv"})
    ).status == 415
    assert (
        await asks.post("/executions/company.team/asks", data=b"[1]", headers={"Content-Type": "application/json"})
    ).status == 422


async def test_uploads_and_bodies_over_their_limits_are_413_naming_the_limit(serve):
    server = await serve(limits=Limits(upload=5000, body=2000))
    await server.deploy(FLOW)
    sent = form()
    sent.add_field("file", b"x" * 6000, filename="x.txt")
    upload = await server.post("/executions/company.team/asks", data=sent)
    assert upload.status == 413
    assert "5000" in upload.json()["message"]
    text = await server.post("/executions/company.team/asks", data=form(name="x" * 3000))
    assert text.status == 413
    body = await server.post("/flows", data="x" * 3000)
    assert body.status == 413
    assert "2000" in body.json()["message"]
    assert not [stat for stat in await server.platform.files.list("kestra:///", recursive=True) if not stat.is_folder]


async def test_inputs_are_checked_without_starting_anything(asks):
    report = (await asks.post("/executions/company.team/asks/validate", data=form(n="abc"))).json()
    by_id = {each["input"]["id"]: each for each in report["inputs"]}
    assert by_id["n"]["errors"]
    assert "errors" not in by_id["name"]
    assert (await asks.get("/executions/search")).json()["total"] == 0


async def test_a_secret_input_is_stored_encrypted_and_read_in_the_flow(serve):
    server = await serve(key=b"k" * 32)
    await server.deploy(
        "id: s\nnamespace: a\ninputs:\n- {id: token, type: SECRET}\ntasks:\n"
        '- {id: t, type: core.debug.Return, format: "{{ inputs.token | length }}"}\n'
    )
    ended = await server.ran("a/s", data=form(token="hunter2"))
    assert ended["inputs"]["token"]["type"] == "io.kestra.datatype:aes_encrypted"
    assert ended["taskRunList"][0]["outputs"] == {"value": "7"}
    assert "hunter2" not in (await server.get(f"/executions/{ended['id']}")).text


async def test_a_client_that_waits_with_its_body_is_told_to_go_on(asks):
    started = await asks.start("company.team/asks", data=form(name="Ann"), expect100=True)
    assert started["inputs"]["name"] == "Ann"
    refused = await asks.post("/executions/company.team/asks", headers={"Expect": "the-unexpected"})
    assert refused.status == 417
