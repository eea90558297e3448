"""Requests that are wrong: inputs, bodies, files, paths, addresses, and bytes that are no HTTP at all."""

from __future__ import annotations

import gzip
import io
import socket
import zipfile
from urllib.parse import quote

import pytest
from installation import Answer, Installation, wait_until

pytestmark = pytest.mark.xdist_group("bad-input")

FLOW = """id: typed
namespace: bad
inputs:
  - {id: n, type: INT}
  - {id: f, type: FILE, required: false}
  - {id: d, type: DATETIME, required: false}
  - {id: j, type: JSON, required: false}
  - {id: y, type: YAML, required: false}
  - {id: s, type: SELECT, values: [a, b], required: false}
tasks:
  - id: a
    type: core.log.Log
    message: hi
"""
MULTIPART = "multipart/form-data; boundary=b"


def part(name: str, value: bytes | str, more: str = "") -> bytes:
    content = value if isinstance(value, bytes) else value.encode()
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


def form(**values: str) -> bytes:
    return b"".join(part(name, value) for name, value in values.items()) + b"--b--\r\n"


def file(name: str, content: bytes) -> bytes:
    return form(n="1").removesuffix(b"--b--\r\n") + part("f", content, f'; filename="{name}"') + b"--b--\r\n"


def zipped(*names: str, size: int = 1) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, b"\0" * size)
    return out.getvalue()


def upload(content: bytes) -> bytes:
    return part("fileContent", content, '; filename="x.zip"') + b"--b--\r\n"


def check(answer: Answer, status: int, *words: str) -> None:
    assert answer.status == status, answer.text
    for word in words:
        assert word in answer.text, answer.text


@pytest.fixture(scope="module")
def typed(limited: Installation) -> str:
    """The id of an ended execution of a flow with inputs of many types."""
    limited.deploy(FLOW)
    answer = limited.api("POST", "/executions/bad/typed", form(n="1"), content_type=MULTIPART)
    assert answer.status == 200, answer.text
    return str(limited.ended(answer.json()["id"])["id"])


INPUTS: dict[str, tuple[bytes | None, str, int, tuple[str, ...]]] = {
    "missing": (None, "text/plain", 422, ("`n`", "missing required input")),
    "no number": (form(n="many"), MULTIPART, 422, ("`n`", "Expected `INT`", "many")),
    "infinite": (form(n="1e400"), MULTIPART, 422, ("`n`", "Expected `INT`")),
    "too many digits": (form(n="9" * 5000), MULTIPART, 422, ("`n`", "Expected `INT`")),
    "no date": (form(n="1", d="soon"), MULTIPART, 422, ("`d`", "Expected `DATETIME`", "soon")),
    "no JSON": (form(n="1", j="{"), MULTIPART, 422, ("`j`", "Expected `JSON`")),
    "deep JSON": (form(n="1", j="[" * 60_000), MULTIPART, 422, ("`j`",)),
    "JSON as deep as it parses": (form(n="1", j="[" * 900 + "]" * 900), MULTIPART, 422, ("`j`", "200 levels")),
    "half a surrogate": (form(n="1", j='"\\ud800"'), MULTIPART, 422, ("`j`",)),
    "deep YAML": (form(n="1", y="[" * 60_000), MULTIPART, 422, ("`y`",)),
    "YAML that names itself": (form(n="1", y="&a [*a]"), MULTIPART, 422, ("`y`",)),
    "not among the values": (form(n="1", s="c"), MULTIPART, 422, ("`s`", "[a, b]", "`c`")),
    "not UTF-8": (part("s", b"\xff\xfe") + b"--b--\r\n", MULTIPART, 422, ("`s`", "not text")),
    "unknown charset": (
        b"--b\r\nContent-Type: text/plain; charset=nope\r\n" + part("n", "1").removeprefix(b"--b\r\n") + b"--b--\r\n",
        MULTIPART,
        422,
        ("`n`", "nope"),
    ),
    "a file over the limit": (file("big.txt", b"x" * 70_000), MULTIPART, 413, ("`f`", "65536")),
    "texts over the limit": (form(n="1", j='"' + "x" * 140_000 + '"'), MULTIPART, 413, ("131072",)),
    "a file name with NUL": (file("a\0b", b"x"), MULTIPART, 422, ("multipart",)),
    "broken off in a header": (b"--b\r\nContent-Disp", MULTIPART, 422, ("multipart",)),
    "broken off in a part": (part("n", "1"), MULTIPART, 422, ("multipart",)),
    "a header without end": (part("n" * 20_000, "1"), MULTIPART, 422, ("multipart",)),
    "no boundary": (b"x", "multipart/form-data", 422, ("boundary",)),
    "another boundary": (b"x" * 100, "multipart/form-data; boundary=zz", 422, ("boundary",)),
    "a type nobody reads": (b"<n>1</n>", "application/xml", 415, ("application/xml", "multipart/form-data")),
    "JSON that is no object": (b"[1]", "application/json", 422, ("JSON object",)),
    "JSON that is none": (b'{"n":', "application/json", 422, ("JSON",)),
    "deep JSON body": (b'{"j":' + b"[" * 60_000, "application/json", 422, ("JSON",)),
    "deep JSON value": (b'{"n": 1, "j":' + b"[" * 900 + b"]" * 900 + b"}", "application/json", 422, ()),
}


@pytest.mark.parametrize("name", INPUTS)
def test_wrong_inputs_are_refused_and_start_nothing(name: str, server: Installation, typed: str) -> None:
    body, kind, status, words = INPUTS[name]
    before = server.api("GET", "/executions/search?namespace=bad&flowId=typed").json()["total"]
    check(server.api("POST", "/executions/bad/typed", body, content_type=kind), status, *words)
    assert server.api("GET", "/executions/search?namespace=bad&flowId=typed").json()["total"] == before
    left = [path for path in (server.data / "storage").rglob("*") if path.is_file() and "big.txt" in path.name]
    assert left == [], "a refused upload must not stay"


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "..%2f..%2fpasswd", "/etc/passwd", "C:\\passwd", ".."])
def test_the_name_of_an_uploaded_file_leads_nowhere_else(name: str, server: Installation, typed: str) -> None:
    answer = server.api("POST", "/executions/bad/typed", file(name, b"mine"), content_type=MULTIPART)
    check(answer, 200)
    uri = answer.json()["inputs"]["f"]
    assert uri.startswith(f"kestra:///bad/typed/executions/{answer.json()['id']}/inputs/f/")
    assert ".." not in uri.rpartition("/")[2].replace(".._", "")
    assert server.ended(answer.json()["id"])["state"]["current"] == "SUCCESS"


PATHS = (
    "../../../../etc/passwd",
    "/etc/passwd",
    "/proc/self/environ",
    "file:///etc/passwd",
    "{base}/../../../../../../etc/passwd",
    "{base}/%2e%2e/%2e%2e/x",
    "{base}/..%2f..%2fx",
    "{base}/..\\..\\x",
    "{base}//x",
    "{base}/./x",
    "{base}/x\0y",
    "{base}/%00",
    "{base}",
    "{base}/" + "n" * 300,
    "kestra://host/x",
    "kestra:////etc/passwd",
    "kestra:///",
    "kestra:///_files/bad/x",
    "KESTRA:///x",
    "http://127.0.0.1/",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_route_of_files_leads_out_of_its_folder(path: str, server: Installation, typed: str) -> None:
    encoded = quote(path.format(base=f"kestra:///bad/typed/executions/{typed}"), safe="")
    for route in ("file", "file/metas", "file/preview"):
        answer = server.api("GET", f"/executions/{typed}/{route}?path={encoded}")
        assert answer.status in (400, 404, 422), answer.text
    inside = path.startswith("/")  # of the namespace's own folder: `/etc/passwd` is a file like any other there
    for method, route in (("GET", "files"), ("POST", "files"), ("GET", "files/stats"), ("POST", "files/directory")):
        answer = server.api(method, f"/namespaces/out/{route}?path={encoded}", b"x" if method == "POST" else None)
        assert answer.status in ((200, 404, 422) if inside else (400, 404, 422)), answer.text
        assert b"root:" not in answer.body
        server.api("DELETE", f"/namespaces/out/files?path={encoded}")
    moved = server.api("PUT", f"/namespaces/out/files?from=/x&to={encoded}")
    assert 400 <= moved.status < 500, moved.text


@pytest.mark.parametrize("namespace", ["..", "%2e%2e", "..%2f..", "a%2f..%2fb", "%5c..", ".", "%00"])
def test_no_namespace_is_a_path(namespace: str, server: Installation) -> None:
    for method, route in (("GET", "files"), ("POST", "files"), ("DELETE", "files"), ("PUT", "kv/k"), ("GET", "kv/k")):
        answer = server.api(method, f"/namespaces/{namespace}/{route}?path=/x", b"1" if method != "GET" else None)
        assert answer.status in (400, 404, 422), answer.text


ARCHIVES = {
    "leads out": (zipped("../../../x"), 422),
    "absolute": (zipped("/abs"), 422),
    "a drive": (zipped("C:\\x"), 422),
    "a bomb": (zipped("a", size=50_000_000), 413),
    "cut": (zipped("a")[:-10], 422),
    "damaged": (zipped("a").replace(b"\0\0\0\0", b"\1\0\0\0"), 422),
    "none": (b"PK\3\4nope", 422),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_would_do_harm_are_refused(name: str, server: Installation) -> None:
    content, status = ARCHIVES[name]
    check(server.api("POST", "/namespaces/zip/files?path=/z", upload(content), content_type=MULTIPART), status)
    assert not list(server.data.rglob("abs"))
    flows = upload(content).replace(b"fileContent", b"fileUpload")
    assert server.api("POST", "/flows/import", flows, content_type=MULTIPART).status < 500


def test_compressed_bodies_are_limited_by_what_they_unpack_to(server: Installation, typed: str) -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    check(server.api("POST", "/flows", bomb, content_encoding="gzip", content_type="application/x-yaml"), 413)
    long = gzip.compress(part("n", b"1" * 50_000_000) + b"--b--\r\n")
    check(
        server.api("POST", "/executions/bad/typed", long, content_encoding="gzip", content_type=MULTIPART),
        413,
        "131072",
    )


ADDRESSES = (
    "GET /flows/bad/%00",
    "GET /executions/%00",
    "GET /executions/%ff%fe",
    "GET /executions/" + "0" * 5000,
    "GET /logs/%00",
    "GET /executions/search?q=%00",
    "GET /executions/search?size=-1",
    "GET /executions/search?size=many",
    "GET /executions/search?page=9223372036854775807&size=100",
    "GET /executions/search?sort=id:asc;drop",
    "GET /executions/search?startDate=99999-01-01",
    "GET /executions/search?state=NOPE",
    "GET /logs/search?minLevel=LOUD",
    "GET /flows/bad/typed?revision=99999999999999999999",
    "GET /flows/bad/typed?revision=x",
    "POST /executions/bad/typed?labels=nolabel",
    "POST /executions/bad/typed?scheduleDate=never",
    "POST /executions/bad/nope",
    "POST /executions/nope/kill",
    "DELETE /executions/nope/kill",
    "POST /executions/nope/replay",
    "POST /executions/restart/by-ids",
    "POST /executions/labels/by-ids",
    "POST /executions/change-status/by-ids",
    "POST /flows/import",
    "PUT /namespaces/bad/kv/%00",
    "PATCH /flows",
    "TRACE /flows",
    "GET /nothing",
    "GET /../../../etc/passwd",
    "GET /flows/../../../../etc/passwd",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_wrong_addresses_and_arguments_are_the_callers_error(address: str, server: Installation, typed: str) -> None:
    method, _, path = address.partition(" ")
    answer = server.api(method, path)
    assert 400 <= answer.status < 500, answer.text
    assert answer.json()["message"]


BODIES = (
    b"\xff",
    b"{",
    b"1",
    b'"x"',
    b'{"a":1}',
    b"[1]",
    b'["\\u0000"]',
    b"[" * 60_000,
    b"[" * 900 + b"]" * 900,
    b"1e999",
)
TAKE_JSON = (
    "/executions/latest",
    "/executions/restart/by-ids",
    "/executions/labels/by-ids",
    "/executions/change-status/by-ids?newStatus=FAILED",
    "/executions/labels/by-query",
    "/flows/validate",
    "/flows/validate/task",
    "/flows/bulk",
    "/flows/bad",
    "/flows/export/by-ids",
    "/flows/disable/by-ids",
    "/namespaces/autocomplete",
)


@pytest.mark.parametrize("path", TAKE_JSON)
def test_no_body_is_our_error(path: str, server: Installation, typed: str) -> None:
    for body in BODIES:
        answer = server.api("POST", path, body, content_type="application/json")
        assert answer.status < 500, (body[:20], answer.text)


HEAD = b"POST /api/v1/main/flows HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-yaml\r\n"
CHUNK = b"1000\r\n" + b"x" * 4096 + b"\r\n"
BYTES = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b" 400 "),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", b" 400 "),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b" 400 "),
    "two lengths": (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b" 400 "),
    "a negative length": (HEAD + b"Content-Length: -5\r\n\r\n", b" 400 "),
    "a broken chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", b" 400 "),
    "chunks without end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK * 40, b" 413 "),
    "20,000 headers": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 20_000 + b"\r\n", b" 400 "),
    "high bytes": (b"GET /api/v1/main/flows/\xff/x HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 400 "),
    "somebody else's host": (b"GET /api/v1/main/flows/search HTTP/1.1\r\nHost: evil.example\r\n\r\n", b" 421 "),
}


@pytest.mark.parametrize("name", BYTES)
def test_what_is_no_request_is_answered_and_the_next_one_too(name: str, server: Installation) -> None:
    data, expected = BYTES[name]
    told = len(server.log)
    assert expected in exchange(server.port, data).partition(b"\r\n")[0]
    assert "Traceback" not in server.log[told:], "a port scan must not fill the log"


def test_a_body_that_never_ends_and_is_cut_leaves_nothing(server: Installation, typed: str) -> None:
    """Fifty callers that go away in the middle of their uploads."""
    start = f"POST /api/v1/main/executions/bad/typed HTTP/1.1\r\nHost: localhost\r\nContent-Type: {MULTIPART}\r\n"
    body = form(n="1").removesuffix(b"--b--\r\n") + part("f", b"x" * 10_000, '; filename="cut.txt"').rstrip(b"\r\n")
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(start.encode() + b"Content-Length: 60000\r\n\r\n" + body)
    assert server.api("GET", "/flows/bad/typed").status == 200
    wait_until(lambda: not list(server.data.rglob("*cut.txt*")), "the halves to be removed", 10, server)


def exchange(port: int, data: bytes) -> bytes:
    """Send bytes and return the beginning of what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(data)
        try:
            return connection.recv(65536)
        except ConnectionError:
            return b""
