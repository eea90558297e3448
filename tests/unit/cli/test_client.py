"""What the client sends, and what it makes of answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from levada.cli.client import Client, Refused, Server
from levada.cli.failures import Unreachable


async def test_a_flow_that_exists_is_updated_with_its_bytes(api, client) -> None:
    api.answers["PUT flows/a.b/hello"] = {"namespace": "a.b", "id": "hello", "revision": 2}
    flow = await client.deploy("a.b", "hello", b"id: hello # \xc3\xa9\n")
    assert flow["revision"] == 2
    assert api.asked == [("PUT flows/a.b/hello", {}, b"id: hello # \xc3\xa9\n")]
    assert api.headers[0]["Content-Type"] == "application/x-yaml"


async def test_a_flow_that_does_not_exist_is_created(api, client) -> None:
    api.answers["POST flows"] = {"revision": 1}
    assert (await client.deploy("n", "x", b"id: x"))["revision"] == 1
    assert [asked[0] for asked in api.asked] == ["PUT flows/n/x", "POST flows"]


async def test_inputs_travel_as_form_parts_and_files_as_uploads(api, client, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"1,2")
    api.answers["POST executions/n/x"] = {"id": "e"}
    await client.start("n", "x", {"name": "Ada", "rows": file}, ["team:data", "x:y"])
    _, query, body = api.asked[0]
    assert b'name="name"' in body
    assert b'filename="rows.csv"' in body
    assert query["labels"] == "team:data"
    assert "multipart/form-data" in api.headers[0]["Content-Type"]


async def test_without_inputs_there_is_no_body_and_no_content_type(api, client) -> None:
    api.answers["POST executions/n/x"] = {"id": "e"}
    await client.start("n", "x", {})
    assert api.asked[0][2] == b""
    assert "multipart" not in api.headers[0].get("Content-Type", "")


async def test_names_are_one_segment_of_the_path(api, client) -> None:
    with pytest.raises(Refused):
        await client.get("executions/a%2Fb")
    assert api.asked[0][0] == "GET executions/a%2Fb"


async def test_a_refusal_carries_the_servers_words_and_its_problems(api, client) -> None:
    body = {
        "message": "Invalid entity: flow.id: bad",
        "_embedded": {"errors": [{"path": "tasks[0]", "message": "must not be empty"}]},
    }
    api.answers["POST flows"] = (422, body)
    with pytest.raises(Refused, match="Invalid entity") as caught:
        await client.deploy("n", "x", b"id: x")
    assert (caught.value.status, caught.value.problems) == (422, ["tasks[0]: must not be empty"])


async def test_wrong_credentials_name_the_options(api, client) -> None:
    api.answers["GET flows/search"] = 401
    with pytest.raises(Unreachable, match="LEVADA_BASIC_AUTH_PASSWORD"):
        await client.get("flows/search")


async def test_credentials_are_sent(api) -> None:
    async with Client(Server(url=api.url, username="ada", password="pé")) as client:
        api.answers["GET flows/search"] = {}
        await client.get("flows/search")
    assert api.headers[0]["Authorization"].startswith("Basic ")


async def test_nobody_there_is_unreachable_and_says_what_to_do() -> None:
    async with Client(Server(url="http://127.0.0.1:9")) as client:
        assert not await client.alive()
        with pytest.raises(Unreachable, match="levada dev"):
            await client.get("flows/search")


async def test_events_are_read_until_the_stream_ends_and_comments_are_not_events(api, client) -> None:
    api.answers["GET logs/e/follow"] = [{"message": "one\ntwo"}, {}, {"message": "three"}]
    assert [event["message"] async for event in client.follow("logs/e/follow")] == ["one\ntwo", "three"]
