"""The HTTP tasks against a real server on the loopback."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from levada.plugins.core.http.tasks import Download, HttpTrigger, Request, SseRequest
from levada.sdk import TaskFailed
from levada.sdk.properties import convert
from levada.sdk.testing import TestContext, run

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that answers every request with the given handler; returns its address."""
    servers = []

    async def start(handler: Handler) -> str:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        servers.append(server)
        return str(server.make_url("/")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
def ctx(tmp_path: Path) -> TestContext:
    return TestContext(tmp_path, variables={"inputs": {"test": "value"}})


async def echo(request: web.Request) -> web.Response:
    """Answer with what came in."""
    return web.json_response(
        {
            "method": request.method,
            "path": request.path_qs,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": (await request.read()).decode(),
        },
        headers={"X-Twice": "1"},
    )


async def test_a_request_returns_code_headers_and_body_as_text(serve: Serve, ctx: TestContext) -> None:
    url = await serve(echo)
    outputs = await run(Request, ctx, uri=f"{url}/a b?x=1", params={"q": ["1", "2"], "n": 3, "none": None})
    seen = json.loads(outputs["body"])
    assert outputs["code"] == 200
    assert outputs["headers"]["x-twice"] == ["1"]
    assert outputs["uri"].startswith(url)
    assert seen["method"] == "GET"
    assert seen["path"] == "/a%20b?x=1&q=1&q=2&n=3"
    assert "content-type" not in seen["headers"]


async def test_a_body_is_sent_with_the_content_type(serve: Serve, ctx: TestContext) -> None:
    url = await serve(echo)
    outputs = await run(Request, ctx, uri=url, method="post", body='{"a": "{{ inputs.test }}"}')
    seen = json.loads(outputs["body"])
    assert (seen["method"], seen["body"]) == ("POST", '{"a": "value"}')
    assert seen["headers"]["content-type"] == "application/json"
    outputs = await run(Request, ctx, uri=url, method="PUT", body={"a": [1]}, headers={"Content-Type": "text/x"})
    seen = json.loads(outputs["body"])
    assert (seen["body"], seen["headers"]["content-type"]) == ('{"a": [1]}', "text/x")


async def test_form_data_is_urlencoded(serve: Serve, ctx: TestContext) -> None:
    async def form(request: web.Request) -> web.Response:
        fields = await request.post()
        return web.Response(text=f"{fields['hello']!s} > {request.headers['test']}")

    outputs = await run(
        Request,
        ctx,
        uri=await serve(form),
        method="POST",
        contentType="application/x-www-form-urlencoded",
        headers={"test": "{{ inputs.test }}"},
        formData={"hello": "wörld & more"},
    )
    assert outputs["body"] == "wörld & more > value"


async def test_multipart_forms_carry_files_of_the_storage(serve: Serve, ctx: TestContext) -> None:
    async def form(request: web.Request) -> web.Response:
        fields = await request.post()
        file, named = fields["file"], fields["named"]
        assert isinstance(file, web.FileField)
        assert isinstance(named, web.FileField)
        found = [fields["hello"], file.filename, file.file.read().decode(), named.filename, named.file.read().decode()]
        return web.json_response(found)

    uri = await ctx.storage.put("content", "data.csv")
    outputs = await run(
        Request,
        ctx,
        uri=await serve(form),
        method="POST",
        contentType="multipart/form-data",
        formData={"hello": "world", "file": uri, "named": {"name": "my.txt", "content": "inline"}},
    )
    assert json.loads(outputs["body"]) == ["world", "data.csv", "content", "my.txt", "inline"]
    assert [path.name for path in ctx.working_dir.iterdir()] == []


async def test_an_error_status_fails_with_code_and_an_excerpt(serve: Serve, ctx: TestContext) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=500, text="the database is away")

    url = await serve(handler)
    with pytest.raises(TaskFailed, match="500 Internal Server Error: the database is away") as caught:
        await run(Request, ctx, uri=f"{url}/x?token=hidden")
    assert "hidden" not in str(caught.value)
    assert caught.value.outputs is not None
    assert caught.value.outputs["code"] == 500
    assert (await run(Request, ctx, uri=url, options={"allowFailed": True}))["code"] == 500
    assert (await run(Request, ctx, uri=url, allowFailed="true"))["code"] == 500
    assert (await run(Request, ctx, uri=url, options={"allowedResponseCodes": [404, 500]}))["code"] == 500


async def test_redirects_are_followed_unless_told_otherwise(serve: Serve, ctx: TestContext) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/old":
            raise web.HTTPFound("/new")
        return web.Response(text="arrived")

    url = await serve(handler)
    outputs = await run(Request, ctx, uri=f"{url}/old")
    assert (outputs["body"], outputs["uri"]) == ("arrived", f"{url}/new")
    assert (await run(Request, ctx, uri=f"{url}/old", options={"followRedirects": False}))["code"] == 302


async def test_credentials_are_sent(serve: Serve, ctx: TestContext) -> None:
    url = await serve(echo)
    basic = await run(Request, ctx, uri=url, options={"auth": {"type": "BASIC", "username": "ü", "password": "p"}})
    sent = json.loads(basic["body"])["headers"]["authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == "ü:p"
    bearer = await run(Request, ctx, uri=url, options={"auth": {"type": "BEARER", "token": "t0"}})
    assert json.loads(bearer["body"])["headers"]["authorization"] == "Bearer t0"
    old = await run(Request, ctx, uri=url, options={"basicAuthUser": "u", "basicAuthPassword": "p"})
    assert json.loads(old["body"])["headers"]["authorization"].startswith("Basic ")


async def test_a_silent_server_is_given_up(serve: Serve, ctx: TestContext) -> None:
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    url = await serve(handler)
    with pytest.raises(TaskFailed, match=r"silent for longer than `options\.timeout\.readIdleTimeout`"):
        await run(Request, ctx, uri=url, options={"timeout": {"readIdleTimeout": "PT0.2S"}})
    release.set()


async def test_what_cannot_be_requested_says_why(ctx: TestContext, unused_tcp_port: int) -> None:
    with pytest.raises(TaskFailed, match="cannot connect: "):
        await run(Request, ctx, uri=f"http://127.0.0.1:{unused_tcp_port}/")
    with pytest.raises(TaskFailed, match="property `uri` must begin with http"):
        await run(Request, ctx, uri="file:///etc/passwd")
    with pytest.raises(TaskFailed, match="`body` and `formData` exclude each other"):
        await run(Request, ctx, uri="http://127.0.0.1:1/", body="x", formData={"a": "b"})
    with pytest.raises(TaskFailed, match="SOCKS is not supported"):
        await run(Request, ctx, uri="http://127.0.0.1:1/", options={"proxy": {"type": "SOCKS", "address": "a"}})


async def test_requests_go_through_a_proxy(serve: Serve, ctx: TestContext) -> None:
    async def proxy(request: web.Request) -> web.Response:
        return web.Response(text=f"proxied {request.url} {'proxy-authorization' in request.headers}")

    address = (await serve(proxy)).removeprefix("http://")
    host, _, port = address.partition(":")
    outputs = await run(
        Request,
        ctx,
        uri="http://nowhere.invalid/path",
        options={"proxy": {"type": "HTTP", "address": host, "port": port, "username": "u", "password": "p"}},
    )
    assert outputs["body"] == "proxied http://nowhere.invalid/path True"


async def test_a_body_that_is_too_large_points_to_download(serve: Serve, ctx: TestContext) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 200_000)

    url = await serve(handler)
    with pytest.raises(TaskFailed, match=r"core\.http\.Download stores it as a file"):
        await run(Request, ctx, uri=url, options={"maxContentLength": 100_000})
    outputs = await run(Download, ctx, uri=f"{url}/folder/big%20file.bin")
    assert outputs["length"] == 200_000
    assert outputs["uri"].endswith("/big file.bin")
    assert ctx.metric("response.length") == 200_000


async def test_logs_show_what_is_asked_for_but_no_credentials(serve: Serve, ctx: TestContext) -> None:
    url = await serve(echo)
    await run(
        Request,
        ctx,
        uri=url,
        method="POST",
        body="hello",
        options={
            "auth": {"type": "BEARER", "token": "t0ken"},
            "logs": ["REQUEST_HEADERS", "REQUEST_BODY", "RESPONSE_HEADERS"],
        },
    )
    logged = "\n".join(ctx.messages())
    assert "Authorization: ***" in logged
    assert "body hello" in logged
    assert "X-Twice: 1" in logged
    assert "t0ken" not in logged


async def test_an_encrypted_body_is_encrypted_by_the_control_plane(serve: Serve, ctx: TestContext) -> None:
    ctx.control.answers["text.encrypt"] = lambda given: {"type": "aes", "value": str(given["text"])[::-1]}

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="abc")

    outputs = await run(Request, ctx, uri=await serve(handler), encryptBody=True)
    assert outputs["encryptedBody"] == {"type": "aes", "value": "cba"}
    assert "body" not in outputs


async def test_a_download_takes_the_name_that_the_server_suggests(serve: Serve, ctx: TestContext) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="hello", headers={"Content-Disposition": 'attachment; filename="../file name.jpg"'})

    url = await serve(handler)
    outputs = await run(Download, ctx, uri=url)
    assert outputs["uri"].endswith("/task/taskrun000000000000000/file name.jpg")
    assert await ctx.storage.read(outputs["uri"]) == b"hello"
    assert (await run(Download, ctx, uri=url, saveAs="mine.bin"))["uri"].endswith("/mine.bin")


async def test_an_empty_download_fails_unless_allowed(serve: Serve, ctx: TestContext) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=204)

    url = await serve(handler)
    with pytest.raises(TaskFailed, match="No response from server"):
        await run(Download, ctx, uri=url)
    assert ctx.storage.objects == {}
    assert (await run(Download, ctx, uri=url, failOnEmptyResponse=False))["length"] == 0


async def test_a_download_that_breaks_off_fails(serve: Serve, ctx: TestContext) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.abort()
        return response

    with pytest.raises(TaskFailed):
        await run(Download, ctx, uri=await serve(handler))


async def test_server_sent_events_are_stored_and_joined(serve: Serve, ctx: TestContext) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in (
            b': hi\r\nid: 1\r\nevent: token\r\ndata: {"t": "Hel',
            b'lo"}\r',
            b'\n\r\nretry: 1500\ndata: {"t":',
            b' ", you"}\n\nlost',
        ):
            await response.write(piece)
        return response

    outputs = await run(SseRequest, ctx, uri=await serve(handler), concatJqExpression=".t")
    assert outputs["size"] == 2
    assert outputs["result"] == "Hello, you"
    assert outputs["events"] == [
        {"data": {"t": "Hello"}, "id": "1", "name": "token", "comment": "hi"},
        {"data": {"t": ", you"}, "retry": "PT1.5S"},
    ]
    assert len((await ctx.storage.read(outputs["uri"])).splitlines()) == 2


async def test_an_event_without_the_jq_value_fails_unless_allowed(serve: Serve, ctx: TestContext) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text='data: {"t": "a"}\n\ndata: {}\n\n')

    url = await serve(handler)
    with pytest.raises(TaskFailed, match="gives nothing for event 2"):
        await run(SseRequest, ctx, uri=url, concatJqExpression=".t")
    assert (await run(SseRequest, ctx, uri=url, concatJqExpression=".t", failedOnMissingJq=False))["result"] == "a"


async def test_the_trigger_fires_when_the_condition_holds(serve: Serve, ctx: TestContext) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"ready": request.path == "/yes"}, status=200 if request.path == "/yes" else 503)

    url = await serve(handler)
    condition = "{{ response.statusCode == 200 and json(response.body).ready }}"
    fired = await convert(HttpTrigger, {"uri": f"{url}/yes", "responseCondition": condition}).poll(ctx)
    assert fired is not None
    assert json.loads(fired.body or "") == {"ready": True}
    assert await convert(HttpTrigger, {"uri": f"{url}/no"}).poll(ctx) is None
