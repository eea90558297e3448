"""A real S3 server (SeaweedFS, one binary out of a package) on loopback, and what stands in the way to one: a proxy of faults.

Tests share the server and its bucket and stay apart by prefix.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import obstore
import pytest
from aiohttp import ClientResponse, ClientSession, web
from installation import free_port
from obstore.exceptions import BaseError
from obstore.store import S3Store
from yarl import URL

from levada.files.objects.adapter import ObjectFiles
from levada.files.objects.opening import Access, open_objects

BUCKET = "files"
KEY, SECRET = "levada", "the-secret-of-the-tests"
READER = "reader"
START_S = 30.0


@dataclass(frozen=True)
class ObjectStore:
    endpoint: str

    def access(self, **other: object) -> Access:
        given = {"endpoint": self.endpoint, "region": "us-east-1", "access_key": KEY, "secret_key": SECRET}
        return Access(**{**given, **other})  # type: ignore[arg-type]

    def files(self, prefix: str, **other: object) -> ObjectFiles:
        return open_objects(f"s3://{BUCKET}/{prefix}", self.access(**other))

    def client(self, prefix: str) -> S3Store:
        """The bare client, for what a test has to prepare or to look at."""
        return S3Store(
            BUCKET,
            prefix=prefix,
            endpoint=self.endpoint,
            access_key_id=KEY,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )

    def env(self, prefix: str) -> dict[str, str]:
        return {
            "LEVADA_STORAGE_URL": f"s3://{BUCKET}/{prefix}",
            "LEVADA_STORAGE_ENDPOINT": self.endpoint,
            "LEVADA_STORAGE_REGION": "us-east-1",
            "LEVADA_STORAGE_ACCESS_KEY": KEY,
            "LEVADA_STORAGE_SECRET_KEY": SECRET,
        }


def binary() -> str | None:
    """Return the server's program; None where the package has none for this system."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextlib.contextmanager
def object_store(weed: str) -> Iterator[ObjectStore]:
    """Start the server with a bucket, an account that may everything and one that may only read."""
    with tempfile.TemporaryDirectory(prefix="levada-s3-") as folder:
        accounts = Path(folder, "accounts.json")
        everything, reading = ["Admin", "Read", "Write", "List"], [f"Read:{BUCKET}", f"List:{BUCKET}"]
        accounts.write_text(json.dumps({"identities": [_account(KEY, everything), _account(READER, reading)]}))
        ports = {name: free_port() for name in ("master", "filer", "volume", "s3", "admin")}
        grpc = {f"{name}.port.grpc": free_port() for name in ports}
        given = {
            **{f"{name}.port": port for name, port in ports.items()},
            **grpc,
            "dir": folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "bucket": BUCKET,
            "s3.config": accounts,
            "admin.ui": "false",
            "webdav": "false",
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "metricsPort": 0,
        }
        log = Path(folder, "log")
        with log.open("wb") as output:
            command = [weed, "mini", *(f"-{name}={value}" for name, value in given.items())]
            server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            store = ObjectStore(f"http://127.0.0.1:{ports['s3']}")
            _wait(store, server, log)
            yield store
        finally:
            server.kill()  # nothing in it is to be kept, and an orderly stop takes seconds
            server.wait()


def _account(name: str, actions: list[str]) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": name, "secretKey": SECRET}], "actions": actions}


def _wait(store: ObjectStore, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until the bucket is there for its account; every other answer comes before that."""
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError):
            try:
                urllib.request.urlopen(f"{store.endpoint}/{BUCKET}", timeout=2).close()
            except urllib.error.HTTPError as answer:
                answer.close()
                if answer.code == 403 and _usable(store):
                    return
        told = log.read_text(errors="replace").replace("\0", "")[-2000:]
        assert server.poll() is None, f"the object store ended: {told}"
        assert time.monotonic() < deadline, f"the object store is not ready: {told}"
        time.sleep(0.05)


def _usable(store: ObjectStore) -> bool:
    with contextlib.suppress(BaseError, OSError):
        obstore.put(store.client("start"), "ready", b"")
        return True
    return False


@dataclass
class FaultyWay:
    """An HTTP proxy in front of a store. `refuse` answers in the store's place when it returns a status."""

    url: str = ""
    refuse: Callable[[web.Request], int | None] = lambda request: None
    #: Before each answer.
    delay_s: float = 0.0
    #: Downloads break off after so many bytes, as often as `breaks` says.
    break_after: int | None = None
    breaks: int = 0
    seen: list[str] = field(default_factory=list)

    def files(self, prefix: str, **other: object) -> ObjectFiles:
        return ObjectStore(self.url).files(prefix, **other)


@pytest.fixture(scope="session")
def s3() -> Iterator[ObjectStore]:
    """The server that the tests of one process share."""
    weed = binary()
    if weed is None:
        assert sys.platform != "linux", "there is no `weed` beside this Python: run `make setup`"
        pytest.skip("there is no S3 server for this system among the packages; CI runs these tests on Linux")
    with object_store(weed) as store:
        yield store


CODES = {503: "SlowDown", 500: "InternalError", 403: "AccessDenied", 404: "NoSuchBucket", 301: "PermanentRedirect"}


@contextlib.asynccontextmanager
async def faulty_way(store: ObjectStore, tls: ssl.SSLContext | None = None) -> AsyncIterator[FaultyWay]:
    way = FaultyWay()
    async with ClientSession(auto_decompress=False) as session:

        async def handle(request: web.Request) -> web.StreamResponse:
            way.seen.append(f"{request.method} {request.path_qs}")
            body = await request.read()
            await asyncio.sleep(way.delay_s)
            status = way.refuse(request)
            if status is not None:
                text = f"<Error><Code>{CODES[status]}</Code><Message>as the test wants it</Message></Error>"
                return web.Response(status=status, text=text, content_type="application/xml")
            headers = {name: value for name, value in request.headers.items() if name.lower() != "transfer-encoding"}
            url = URL(f"{store.endpoint}{request.raw_path}", encoded=True)
            async with session.request(request.method, url, headers=headers, data=body) as there:
                return await _pass_on(way, request, there)

        server = web.Server(handle, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        way.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield way
        finally:
            await runner.cleanup()


async def _pass_on(way: FaultyWay, request: web.Request, there: ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=there.status, headers=there.headers)
    await response.prepare(request)
    sent, breaks = 0, request.method == "GET" and way.breaks > 0
    async for chunk in there.content.iter_any():
        await response.write(chunk)
        sent += len(chunk)
        if breaks and way.break_after is not None and sent >= way.break_after:
            way.breaks -= 1
            assert request.transport is not None
            request.transport.abort()
            return response
    await response.write_eof()
    return response
