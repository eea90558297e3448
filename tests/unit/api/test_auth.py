"""Who may come in."""

from __future__ import annotations

import logging

import aiohttp
import pytest

from levada.model.errors import Defect
from levada.runtime.config import Config
from levada.runtime.config.tree import Auth, BasicAuth
from levada.runtime.config.tree import Server as ServerSettings
from levada_api import auth, routing, table
from levada_api.errors import ApiError
from levada_api.routing import Permission, Route, Router

ACCOUNT = BasicAuth(username="ann", password="correct horse")


@pytest.fixture
async def locked(serve):
    return await serve(basic_auth=ACCOUNT)


def signed(user: str = "ann", password: str = "correct horse") -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


async def test_without_credentials_nothing_is_answered(locked):
    for path in ("/flows/search", "/nothing", "/api/v1/configs", "=/metrics", "=/"):
        reply = await locked.get(path)
        assert reply.status == 401, path
        assert reply.headers["WWW-Authenticate"].startswith('Basic realm="Kestra"')
    for wrong in (
        signed("ann", "wrong"),
        signed("bob"),
        {"Authorization": "Basic Og=="},
        {"Authorization": "Bearer x"},
    ):
        assert (await locked.get("/flows/search", headers=wrong)).status == 401
    assert (await locked.get("/flows/search", headers=signed())).status == 200
    lower = {"Authorization": signed()["Authorization"].replace("Basic", "basic")}
    assert (await locked.get("/flows/search", headers=lower)).status == 200


async def test_probes_and_ping_need_no_credentials(locked):
    for path in ("/ping", "/health", "/health/liveness", "/health/readiness"):
        assert (await locked.get(f"={path}")).status == 200, path
    assert (await locked.get("=/health/..%2fmetrics")).status == 401
    assert (await locked.get("=/health/other")).status == 401


async def test_every_route_but_the_public_ones_wants_credentials(locked):
    for _, template, _, permission in (
        *table.INSTANCE,
        *table.FLOWS,
        *table.EXECUTIONS,
        *table.DATA,
        *table.NAMESPACES,
    ):
        if permission is not None:
            path = template.replace("{tenant}", "main").replace("{", "").replace("}", "")
            assert (await locked.get(path)).status == 401, path


async def test_without_an_account_only_requests_meant_for_this_machine_pass(server):
    assert (await server.get("/flows/search")).status == 200
    assert (await server.get("/flows/search", headers={"Host": "evil.example"})).status == 421
    assert (await server.get("/flows/search", headers={"Authorization": "Basic Og=="})).status == 200


async def test_a_page_of_another_origin_may_not_change_anything(locked, server):
    foreign = {"Origin": "https://evil.example"}
    assert (await server.post("/flows", data="x", headers=foreign)).status == 403
    assert (await locked.post("/flows", data="x", headers={**foreign, **signed()})).status == 403
    own = {"Origin": server.url}
    assert (await server.post("/flows/validate", data="x", headers=own)).status == 200


def test_a_route_without_permission_keeps_the_server_from_starting():
    async def handler(call):
        raise AssertionError

    public = frozenset({("GET", "/ping")})
    ping = Route("GET", "/ping", handler)
    Router([ping], public)
    for wrong, why in (
        ([Route("GET", "/open", handler), ping], "declares no permission"),
        ([Route("GET", "/x", handler, Permission("flow", "reed")), ping], "unknown permission"),
        ([], "is public but no route"),
        ([ping, ping], "declared twice"),
        ([Route("GET", "/ping", handler, Permission("flow", "read"))], "must declare no permission"),
    ):
        with pytest.raises(Defect, match=why):
            Router(wrong, public)


def test_the_real_table_keeps_its_rules():
    table.router()
    open_to_people = routing.PUBLIC - routing.WORKER_GATEWAY
    assert all(template.startswith(("/health", "/ping")) or "/webhook/" in template for _, template in open_to_people)
    assert all(template.startswith("/api/v1/worker/") for _, template in routing.WORKER_GATEWAY)


def test_without_an_account_the_server_listens_on_loopback_and_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        config = Config(host="0.0.0.0")
        assert auth.listen_host(config, auth.Gate.of(config)) == "127.0.0.1"
    assert "no account is configured" in caplog.text
    locked = Config(host="0.0.0.0", basic_auth=ACCOUNT)
    assert auth.listen_host(locked, auth.Gate.of(locked)) == "0.0.0.0"
    ignored = Config(host="127.0.0.1", basic_auth=ACCOUNT, auth=Auth(mode="none"))
    assert not auth.Gate.of(ignored).locked


def test_half_an_account_is_refused():
    with pytest.raises(ValueError, match="together"):
        auth.Gate("ann", None)


def test_a_name_that_resolves_to_loopback_is_not_this_machine():
    for host in ("localhost:8080", "127.0.0.1:1", "[::1]:8080"):
        auth.check_host(host)
    for host in ("127.0.0.1.nip.io", "", "example.com:8080"):
        with pytest.raises(ApiError):
            auth.check_host(host)


async def test_a_configured_origin_may_call_and_is_echoed(serve):
    server = await serve(server=ServerSettings(cors_origins=("https://ui.example",)))
    asked = {"Origin": "https://ui.example", "Access-Control-Request-Method": "POST"}
    preflight = await server.call("OPTIONS", "/flows", headers=asked)
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://ui.example"
    found = await server.post("/flows/validate", data="x", headers={"Origin": "https://ui.example"})
    assert (found.status, found.headers["Access-Control-Allow-Origin"]) == (200, "https://ui.example")
    other = await server.call("OPTIONS", "/flows", headers={**asked, "Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
