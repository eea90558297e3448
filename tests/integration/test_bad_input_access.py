"""Every door of a locked server, in every spelling: without credentials there is one answer."""

from __future__ import annotations

import base64
import http.client
import re
import socket
from collections.abc import Iterator

import pytest
from installation import Answer, Installation

from levada_api import routing, table

pytestmark = pytest.mark.xdist_group("bad-input-access")

ACCOUNT = ("ada", "s3cret: with a colon")
#: The worker gateway asks for credentials of its own, and refuses strangers like everything else.
PUBLIC = {f"{method} {template}" for method, template in routing.PUBLIC - routing.WORKER_GATEWAY}
ROUTES = sorted({(route.method, route.template) for route in table.routes()})


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(
        tmp_path_factory.mktemp("locked"),
        {"LEVADA_BASIC_AUTH_USERNAME": ACCOUNT[0], "LEVADA_BASIC_AUTH_PASSWORD": ACCOUNT[1]},
    )
    yield installation.start()
    installation.close()


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def ask(installation: Installation, method: str, path: str, authorization: str | None = None) -> Answer:
    return installation.request(method, path, None, {"Authorization": authorization} if authorization else {})


@pytest.mark.parametrize(("method", "template"), ROUTES, ids=lambda part: part)
def test_a_route_answers_401_to_strangers_unless_it_is_public(method: str, template: str, locked: Installation) -> None:
    path = re.sub(r"\{[^}]*\}", "main", template)
    answer = ask(locked, method, path)
    if f"{method} {template}" in PUBLIC:
        assert answer.status in (200, 404), answer.text
    else:
        assert answer.status == 401, answer.text
        scheme = "Bearer" if (method, template) in routing.WORKER_GATEWAY else "Basic"
        assert answer.headers["WWW-Authenticate"].startswith(f"{scheme} ")


SPELLINGS = (
    "/api/v1/main/configs",
    "/api/v1/main/flows/search/configs",
    "/api/v1/main/flows/search;configs",
    "/api/v1/main/flows/search/health",
    "/api/v1/main/flows/search.css",
    "/api/v1/main/flows/search;/ping",
    "/api/v1/main/flows/search?/ping",
    "/api/v1/main/flows/search%3f/ping",
    "/api/v1/main/flows/search%2fping",
    "/api/v1/main/flows/search/",
    "/api/v1/main/flows/search.",
    "/api/v1/main/flows/search/.",
    "/api/v1/main//flows//search",
    "//api/v1/main/flows/search",
    "/./api/v1/main/flows/search",
    "/ping/../api/v1/main/flows/search",
    "/ping/%2e%2e/api/v1/main/flows/search",
    "/ping%2f..%2fapi/v1/main/flows/search",
    "/health/../api/v1/main/flows/search",
    "/api/v1/main/executions/webhook/a/b/c/../../../../flows/search",
    "/api/v1/main/executions/webhook/../search",
    "/api/v1/main/executions/webhook/a",
    "/API/v1/main/flows/search",
    "/api/v1/MAIN/flows/search",
    "/api/v1/main/Flows/Search",
    "/api/v1/flows/search",
    "/api/v1/other/flows/search",
    "/HEALTH",
    "/health.",
    "/health;x",
    "/health%00",
    "/ping/x",
    "/metrics",
    "/nothing",
    "/",
    "/ui/",
    "/login",
)


@pytest.mark.parametrize("path", SPELLINGS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
def test_no_spelling_comes_round_the_gate(method: str, path: str, locked: Installation) -> None:
    answer = ask(locked, method, path)
    assert answer.status in (400, 401), f"{answer.status} {answer.text}"
    assert b"results" not in answer.body


WRONG = {
    "another password": basic(ACCOUNT[0], "s3cret"),
    "an empty password": basic(ACCOUNT[0], ""),
    "another name": basic("bob", ACCOUNT[1]),
    "a longer password": basic(ACCOUNT[0], ACCOUNT[1] + "x"),
    "a NUL at the end": basic(ACCOUNT[0], ACCOUNT[1] + "\0"),
    "no base64": "Basic !!!",
    "nothing": "Basic",
    "a token": "Bearer x",
    "plain text": f"Basic {ACCOUNT[0]}:{ACCOUNT[1]}",
    "two schemes": "Basic Basic",
    "bytes": "Basic \xff\xfe",
    "a long one": "Basic " + "A" * 7000,
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_credentials_are_refused(name: str, locked: Installation) -> None:
    answer = ask(locked, "GET", "/api/v1/main/flows/search", WRONG[name])
    assert answer.status == 401, answer.text
    assert ACCOUNT[1] not in answer.text


def test_the_right_ones_are_let_in(locked: Installation) -> None:
    assert ask(locked, "GET", "/api/v1/main/flows/search", basic(*ACCOUNT)).status == 200
    assert ask(locked, "GET", "/api/v1/main/flows/search", basic(*ACCOUNT).replace("Basic", "basic")).status == 200


def test_the_password_is_nowhere_in_the_log_or_the_answers(locked: Installation) -> None:
    config = ask(locked, "GET", "/api/v1/main/configs", basic(*ACCOUNT))
    assert config.status == 200
    assert ACCOUNT[1] not in config.text
    assert ACCOUNT[1] not in locked.log


def test_without_an_account_no_other_machine_is_served(tmp_path_factory: pytest.TempPathFactory) -> None:
    open_ = Installation(tmp_path_factory.mktemp("open"), {"LEVADA_HOST": "0.0.0.0"}).start()
    try:
        assert "127.0.0.1 instead of 0.0.0.0" in open_.log
        outside = _address()
        if outside is not None:
            connection = http.client.HTTPConnection(outside, open_.port, timeout=3)
            with pytest.raises((ConnectionRefusedError, TimeoutError)):
                connection.request("GET", "/health")
            connection.close()
        assert open_.request("GET", "/api/v1/main/flows/search", None, {"Host": "evil.example"}).status == 421
        evil = {"Origin": "https://evil.example"}
        assert open_.request("POST", "/api/v1/main/flows", b"id: x", evil).status == 403
    finally:
        open_.close()


def test_no_sign_in_on_an_open_address_is_refused_at_the_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    refused = Installation(tmp_path_factory.mktemp("refused"), {"LEVADA_HOST": "0.0.0.0", "LEVADA_AUTH_MODE": "none"})
    refused.launch()
    assert refused.exit_code(30) == 2
    assert "auth.mode" in refused.log
    assert "basic_auth.username" in refused.log


def _address() -> str | None:
    """An address of this machine that is not loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks the kernel which address it would use
            found = str(probe.getsockname()[0])
        except OSError:
            return None
    return None if found.startswith("127.") else found
