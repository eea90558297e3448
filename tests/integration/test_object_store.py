"""Internal storage in an object store under faults: what it says, what it tries again, and what it never holds in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import certificates
import obstore
import pytest
from objectstore import KEY, READER, SECRET, FaultyWay, ObjectStore, faulty_way

from levada.files.errors import StorageUnusable
from levada.files.objects.opening import Access, open_objects
from levada.files.objects.source import PART_BYTES
from levada.model.errors import Transient, UserError
from levada.runtime import readiness
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.config.tree import Storage
from levada.runtime.health import Health
from levada.runtime.platform import Platform
from levada.runtime.storage import open_files

MIB = 1 << 20


@pytest.fixture
async def way(s3: ObjectStore) -> AsyncIterator[FaultyWay]:
    async with faulty_way(s3) as made:
        yield made


async def blocks(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield number.to_bytes(4, "big") * (MIB // 4)


async def test_a_large_stream_goes_through_in_parts(s3: ObjectStore) -> None:
    files, wanted = s3.files("large"), hashlib.sha256()
    async for block in blocks(80):
        wanted.update(block)
    before = resident_mib()
    stored = await files.put("/big", blocks(80))
    assert stored.size == 80 * MIB
    found = hashlib.sha256()
    async for chunk in files.get("/big"):
        found.update(chunk)
    assert found.digest() == wanted.digest()
    assert resident_mib() - before < 64, "a part or two at a time, not the file"


async def test_a_local_file_of_many_parts_arrives_whole(s3: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(PART_BYTES * 2 + 17))
    files = s3.files("local")
    await files.put("/copy", source)
    assert await files.read("/copy") == source.read_bytes()
    assert (
        b"".join([c async for c in files.get("/copy", offset=PART_BYTES, length=5)])
        == source.read_bytes()[PART_BYTES : PART_BYTES + 5]
    )
    with pytest.raises(FileNotFoundError):
        await files.put("/nothing", tmp_path / "absent")
    assert not await files.exists("/nothing")


async def test_a_cancelled_upload_leaves_nothing_and_lets_go_of_its_source(s3: ObjectStore) -> None:
    files, reading, ended = s3.files("cancelled"), asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield bytes(2 * PART_BYTES)
            reading.set()
            await asyncio.sleep(3600)
        finally:
            ended.set()

    putting = asyncio.create_task(files.put("/a", endless()))
    await reading.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    async with asyncio.timeout(5):
        await ended.wait()
    assert await files.list("/", recursive=True) == []


async def test_more_files_than_one_answer_lists(s3: ObjectStore) -> None:
    files, client, some = s3.files("many"), s3.client("many"), asyncio.Semaphore(8)

    async def put(number: int) -> None:
        async with some:
            await obstore.put_async(client, f"f/{number:04}", b"")

    await asyncio.gather(*(put(number) for number in range(1010)))
    assert len(await files.list("/f")) == 1010
    assert await files.delete("/f", recursive=True)
    assert not await files.exists("/f")


async def test_a_busy_store_is_asked_again(way: FaultyWay) -> None:
    files, answers = way.files("busy"), iter([503, 503, 500])
    way.refuse = lambda request: next(answers, None) if request.method == "PUT" else None
    await files.put("/a", b"kept")
    assert await files.read("/a") == b"kept"
    assert len([seen for seen in way.seen if seen.startswith("PUT")]) == 4


async def test_a_download_that_breaks_off_goes_on_where_it_was(way: FaultyWay, s3: ObjectStore) -> None:
    content = os.urandom(6 * MIB)
    await s3.files("broken").put("/a", content)
    way.break_after, way.breaks = 2 * MIB, 2
    assert b"".join([chunk async for chunk in way.files("broken").get("/a")]) == content
    assert way.breaks == 0


@pytest.mark.parametrize(
    ("status", "family", "helps"),
    [
        (503, Transient, "too busy or in trouble .status 503, SlowDown"),
        (500, Transient, "status 500, InternalError"),
        (403, StorageUnusable, r"AccessDenied.*storage\.access_key"),
        (404, StorageUnusable, r"NoSuchBucket.*correct storage\.url"),
        (301, StorageUnusable, r"another region.*storage\.region"),
    ],
)
async def test_what_the_store_answers_is_said_with_what_helps(
    way: FaultyWay, status: int, family: type[Exception], helps: str
) -> None:
    files = way.files("answers")
    way.refuse = lambda request: status
    with pytest.raises(family, match=helps):
        await files.check()
    way.refuse = lambda request: None
    await files.check()


@pytest.mark.parametrize(
    ("other", "family", "helps"),
    [
        ({"secret_key": "wrong"}, StorageUnusable, "SignatureDoesNotMatch"),
        ({"access_key": "nobody"}, StorageUnusable, "InvalidAccessKeyId"),
        ({"access_key": READER}, StorageUnusable, "list, read, write and delete"),
        ({"endpoint": "http://127.0.0.1:1"}, Transient, r"cannot be reached.*storage\.endpoint"),
        ({"endpoint": "http://levada.invalid"}, Transient, "its name does not resolve"),
    ],
)
async def test_wrong_settings_are_told_from_a_store_that_is_away(
    s3: ObjectStore, other: dict[str, str], family: type[Exception], helps: str
) -> None:
    with pytest.raises(family, match=helps):
        await s3.files("settings", **other).check()


async def test_a_bucket_that_is_not_there_is_named_by_every_use(s3: ObjectStore) -> None:
    files = open_objects("s3://no-such-bucket/p", s3.access())
    for use in (files.check(), files.stat("/a/b"), files.put("/a", b""), files.list("/"), files.read("/a")):
        with pytest.raises(StorageUnusable, match="no bucket as in s3://no-such-bucket"):
            await use


async def test_readiness_goes_with_the_store_and_comes_back(way: FaultyWay) -> None:
    clock = SystemClock()
    health = Health(clock)
    platform = Platform.in_memory(clock, Config())
    platform.health, platform.files = health, way.files("ready")
    readiness.register(platform)
    assert (await health.readiness())[0]
    way.refuse = lambda request: 403
    with pytest.raises(StorageUnusable):
        await platform.files.read("/a")  # whatever fails makes the next check look for itself
    way.refuse, way.delay_s = lambda request: None, 10
    up, document = await health.readiness()
    while up:
        await asyncio.sleep(0.2)
        up, document = await health.readiness()
    assert "does not answer" in document["details"]["storage"]["details"]["error"]
    way.delay_s = 0
    while not up:
        await asyncio.sleep(0.2)
        up, document = await health.readiness()


async def test_a_certificate_of_an_own_authority_is_trusted_when_told(s3: ObjectStore, tmp_path: Path) -> None:
    authority, server, _ = certificates.make(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server.certificate, server.key)
    async with faulty_way(s3, tls) as way:
        with pytest.raises(StorageUnusable, match=r"nobody here trusts: set storage\.ca_file"):
            await way.files("tls").check()
        storage = Storage(url="s3://files/tls", endpoint=way.url, access_key=KEY, secret_key=SECRET, ca_file=authority)
        files = await open_files(Config(storage=storage))
        await files.put("/a", b"kept")
        assert await files.read("/a") == b"kept"


async def test_the_check_does_not_ask_each_time(way: FaultyWay) -> None:
    files = way.files("checked")
    for _ in range(5):
        await files.check()
    assert len(way.seen) == 2, "written once and listed once"


def test_addresses_and_settings_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AZURE_", "AWS_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for url, access, helps in [
        ("s3://", Access(), "names no bucket"),
        ("gs://bucket", Access(endpoint="http://x"), "GOOGLE_SERVICE_ACCOUNT"),
        ("s3://bucket", Access(access_key="a"), "both or neither"),
        ("az://container/p", Access(), "Account must be specified"),
    ]:
        with pytest.raises(UserError, match=helps):
            open_objects(url, access)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "levada")
    assert open_objects("az://container/p", Access()).place == "az://container"
    assert open_objects("gs://bucket/p", Access()).place == "gs://bucket"


def test_no_service_loads_the_client_unless_it_needs_it() -> None:
    services = ("api", "executor", "indexer", "scheduler", "webhook", "worker")
    script = (
        "; ".join(f"import levada_{name}.main" for name in services)
        + "; import sys; assert 'obstore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
