"""The contract of the files port, over every adapter."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateways import files_over_http

from levada.files.errors import BadPath, FileMissing, TooLarge
from levada.files.local import LocalFiles
from levada.files.memory import MemoryFiles
from levada.files.port import Files

URI = "kestra:///company/team/flow/executions/e1/tasks/t/r/out.txt"

BAD_URIS = [
    "file:///etc/passwd",
    "kestra://host/a",
    "kestra:///../etc/passwd",
    "kestra:///a/../../etc/passwd",
    "kestra:///a/..",
    "kestra:///a/./b",
    "kestra:////etc/passwd",
    "kestra:///a//b",
    "kestra:///%2e%2e/%2e%2e/etc/passwd",
    "kestra:///a/%2E%2E%2fb",
    "kestra:///..%5c..%5cwindows",
    "kestra:///a\\..\\b",
    "kestra:///%252e%252e/x",
    "kestra:///a\x00b",
    "kestra:///a%00b",
    "kestra:///a\nb",
    "kestra:///" + "x" * 256,
    "kestra:///" + "/".join(["x" * 200] * 20),
    "kestra:///a\udc80",
    "relative/path",
    "",
]


PREFIXES = itertools.count()
"""Every test has a part of the bucket to itself."""


@pytest.fixture(params=["local", "memory", "gateway", "s3", "gateway over s3"])
async def files(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Files]:
    match request.param:
        case "local":
            yield LocalFiles(tmp_path / "storage", sync=False)
        case "memory":
            yield MemoryFiles()
        case "gateway":
            async with files_over_http() as made:
                yield made
        case kind:
            objects = request.getfixturevalue("s3").files(f"contract/{next(PREFIXES)}")
            if kind == "s3":
                yield objects
                return
            async with files_over_http(files=objects) as made:
                yield made


async def content(files: Files, uri: str, **range_: int) -> bytes:
    return b"".join([chunk async for chunk in files.get(uri, **range_)])


async def test_what_was_put_is_read_back(files: Files) -> None:
    stored = await files.put(URI, b"hello")
    assert (stored.uri, stored.size, stored.is_folder) == (URI, 5, False)
    assert await files.read(URI) == b"hello"
    assert await content(files, URI) == b"hello"
    assert await content(files, URI, offset=1, length=3) == b"ell"
    assert await content(files, URI, offset=99) == b""
    assert await files.stat(URI) == stored


async def test_putting_again_replaces(files: Files) -> None:
    await files.put(URI, b"one")
    await files.put(URI, b"two")
    assert await files.read(URI) == b"two"


async def test_a_stream_and_a_local_file_can_be_put(files: Files, tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number * 300_000

    await files.put(URI, chunks())
    assert (await files.stat(URI)).size == 1_500_000
    sizes = [len(chunk) async for chunk in files.get(URI)]
    assert sum(sizes) == 1_500_000
    assert max(sizes) <= 1024 * 1024
    source = tmp_path / "source"
    source.write_bytes(b"from disk")
    await files.put(URI, source)
    assert await files.read(URI) == b"from disk"


async def test_an_interrupted_stream_leaves_nothing_visible(files: Files) -> None:
    await files.put(URI, b"before")

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise OSError("the source went away")

    with pytest.raises(OSError, match="went away"):
        await files.put(URI, broken())
    assert await files.read(URI) == b"before"
    assert [item.uri for item in await files.list("kestra:///", recursive=True) if not item.is_folder] == [URI]


async def test_a_file_is_not_visible_before_it_is_complete(files: Files) -> None:
    written, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        written.set()
        await go_on.wait()
        yield b"second"

    putting = asyncio.create_task(files.put(URI, slow()))
    await written.wait()
    assert not await files.exists(URI)
    go_on.set()
    await putting
    assert await files.read(URI) == b"firstsecond"


async def test_what_is_missing_says_so(files: Files) -> None:
    with pytest.raises(FileMissing, match=r"kestra:///a/b"):
        await files.read("kestra:///a/b")
    with pytest.raises(FileMissing):
        await files.stat("kestra:///a/b")
    with pytest.raises(FileMissing):
        await content(files, "kestra:///a/b")
    with pytest.raises(FileMissing):
        await files.local_path("kestra:///a/b")
    assert not await files.exists("kestra:///a/b")
    assert not await files.delete("kestra:///a/b")
    assert await files.list("kestra:///a") == []


async def test_reading_more_than_the_limit_names_the_limit(files: Files) -> None:
    await files.put(URI, b"x" * 2000)
    with pytest.raises(TooLarge, match="1,000"):
        await files.read(URI, limit=1000)


async def test_listing_is_flat_or_recursive(files: Files) -> None:
    await files.put("kestra:///f/b.txt", b"")
    await files.put("kestra:///f/sub/a.txt", b"")
    await files.make_folder("kestra:///f/empty")
    flat = [(item.uri, item.is_folder) for item in await files.list("kestra:///f")]
    assert flat == [("kestra:///f/b.txt", False), ("kestra:///f/empty", True), ("kestra:///f/sub", True)]
    deep = [item.uri for item in await files.list("kestra:///f/", recursive=True)]
    assert deep == ["kestra:///f/b.txt", "kestra:///f/empty", "kestra:///f/sub", "kestra:///f/sub/a.txt"]


async def test_a_folder_is_deleted_only_with_its_content_when_asked(files: Files) -> None:
    await files.put("kestra:///f/sub/a.txt", b"")
    with pytest.raises(BadPath, match="not empty"):
        await files.delete("kestra:///f")
    assert await files.delete("kestra:///f", recursive=True)
    assert not await files.exists("kestra:///f/sub/a.txt")
    with pytest.raises(BadPath):
        await files.delete("kestra:///", recursive=True)


async def test_files_and_folders_move(files: Files) -> None:
    await files.put("kestra:///f/a.txt", b"a")
    await files.move("kestra:///f/a.txt", "kestra:///g/b.txt")
    assert await files.read("kestra:///g/b.txt") == b"a"
    assert not await files.exists("kestra:///f/a.txt")
    await files.move("kestra:///g", "kestra:///h/i")
    assert await files.read("kestra:///h/i/b.txt") == b"a"
    with pytest.raises(BadPath):
        await files.move("kestra:///h", "kestra:///h/i/j")
    with pytest.raises(FileMissing):
        await files.move("kestra:///nothing", "kestra:///x")


async def test_a_folder_is_no_file(files: Files) -> None:
    await files.put(URI, b"")
    folder = URI.rpartition("/")[0]
    with pytest.raises(BadPath):
        await files.read(folder)
    with pytest.raises(BadPath):
        await files.put(folder, b"")
    with pytest.raises(FileMissing):
        await files.put(URI + "/below", b"")


async def test_odd_but_harmless_names_mean_themselves(files: Files) -> None:
    for name in ("two words.txt", "100%20.txt", "ünïcode-日本.csv", "a#b?c.txt", "..hidden", "-rf"):
        uri = f"kestra:///f/{name}"
        await files.put(uri, name.encode())
        assert await files.read(uri) == name.encode()


@pytest.mark.parametrize("uri", BAD_URIS)
async def test_what_may_not_be_named_is_refused_by_every_method(files: Files, uri: str) -> None:
    with pytest.raises(BadPath):
        await files.put(uri, b"x")
    with pytest.raises(BadPath):
        await content(files, uri)
    with pytest.raises(BadPath):
        await files.read(uri)
    with pytest.raises(BadPath):
        await files.stat(uri)
    with pytest.raises(BadPath):
        await files.exists(uri)
    with pytest.raises(BadPath):
        await files.list(uri)
    with pytest.raises(BadPath):
        await files.delete(uri, recursive=True)
    with pytest.raises(BadPath):
        await files.move(uri, URI)
    with pytest.raises(BadPath):
        await files.make_folder(uri)
    with pytest.raises(BadPath):
        await files.local_path(uri)


class TestLocalOnly:
    async def test_links_are_not_followed(self, tmp_path: Path) -> None:
        files = LocalFiles(tmp_path / "storage", sync=False)
        secret = tmp_path / "secret.txt"
        secret.write_text("secret")
        os.symlink(secret, tmp_path / "storage" / "link.txt")
        os.symlink(tmp_path, tmp_path / "storage" / "folder")
        for uri in ("kestra:///link.txt", "kestra:///folder/secret.txt"):
            with pytest.raises((BadPath, FileMissing)):
                await files.read(uri)
            with pytest.raises((BadPath, FileMissing)):
                await files.stat(uri)
        with pytest.raises((BadPath, FileMissing)):
            await files.put("kestra:///folder/new.txt", b"")
        assert await files.list("kestra:///") == []
        await files.put("kestra:///link.txt", b"replaced")
        assert secret.read_text() == "secret"

    async def test_old_leftovers_of_writers_are_removed_at_start(self, tmp_path: Path) -> None:
        LocalFiles(tmp_path, sync=False)
        old, young = tmp_path / ".levada-tmp" / "old", tmp_path / ".levada-tmp" / "young"
        old.write_text("")
        young.write_text("")
        os.utime(old, (0, 0))
        files = LocalFiles(tmp_path, sync=False)
        assert not old.exists()
        assert young.exists()
        with pytest.raises(BadPath, match="reserved"):
            await files.read("kestra:///.levada-tmp/young")

    async def test_a_durable_storage_reads_what_it_wrote(self, tmp_path: Path) -> None:
        await LocalFiles(tmp_path).put(URI, b"kept")
        path = await LocalFiles(tmp_path).local_path(URI)
        assert path is not None
        assert path.read_bytes() == b"kept"
