"""Internal storage over HTTP: `levada.files.port.Files` for one attempt, streamed both ways.

A download that breaks off goes on where it was, at another gateway if need be, as long as the file is still the same. An
upload that breaks off is sent again from its start, also when its content can be read only once (see `upload`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from levada.files import paths
from levada.files.errors import TooLarge
from levada.files.port import Stat
from levada.model.errors import Transient
from levada.model.jobs import Held
from levada.runtime import wire
from levada_worker.gateway.connection import PATIENCE_S, Gateways, sendable
from levada_worker.gateway.upload import Upload

CHUNK_BYTES = 1024 * 1024
RESUMED = 5
RESUME_PAUSE_S = 0.3


class HttpFiles:
    def __init__(self, gateways: Gateways, held: Held) -> None:
        self._gateways = gateways
        self._held = held

    async def put(self, uri: str, content: bytes | AsyncIterator[bytes] | Path) -> Stat:
        paths.resolve(uri)
        if isinstance(content, bytes):
            return await self._put(uri, lambda: sendable(content))
        if isinstance(content, Path):
            await asyncio.to_thread(_read_a_little, content)
            return await self._put(uri, lambda: _chunks_of(content))
        async with Upload(content) as upload:

            def chunks() -> AsyncIterator[bytes]:
                if upload.problem is not None:
                    raise upload.problem  # what the source failed with is not tried again
                return upload.chunks()

            try:
                return await self._put(uri, chunks)
            except Transient:
                if upload.problem is not None:
                    raise upload.problem from None
                raise

    async def _put(self, uri: str, data: Callable[[], Any]) -> Stat:
        found: Stat = await self._ask("PUT", "/files", Stat, data=data, answer_s=None, uri=uri)
        return found

    async def get(self, uri: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        paths.resolve(uri)
        at, end, version, broken = offset, None if length is None else offset + length, None, 0
        while True:
            params = {"uri": uri, "offset": str(at)} | ({} if end is None else {"length": str(end - at)})
            try:
                async with self._gateways.request(
                    "GET", "/files", params=params, held=self._held, answer_s=None, patience_s=PATIENCE_S
                ) as response:
                    now = response.headers.get(wire.VERSION_HEADER)
                    if version is not None and now != version:
                        raise _Replaced(f"{uri} was replaced while it was read")
                    version = now
                    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                        yield chunk
                        at += len(chunk)
                    return
            except _Replaced:
                raise
            except Transient:
                broken += 1
                if version is None or broken > RESUMED:
                    raise
                await asyncio.sleep(RESUME_PAUSE_S * broken)

    async def read(self, uri: str, limit: int | None = None) -> bytes:
        if limit is not None:
            size = (await self.stat(uri)).size
            if size > limit:
                raise TooLarge(f"`{uri}` has {size:,} bytes; at most {limit:,} can be read here")
        return b"".join([chunk async for chunk in self.get(uri)])

    async def stat(self, uri: str) -> Stat:
        found: Stat = await self._ask("GET", "/files/stat", Stat, uri=uri)
        return found

    async def exists(self, uri: str) -> bool:
        there: bool = await self._ask("GET", "/files/exists", bool, uri=uri)
        return there

    async def list(self, uri: str, *, recursive: bool = False) -> list[Stat]:
        found: list[Stat] = await self._ask("GET", "/files/list", list[Stat], uri=uri, recursive=_flag(recursive))
        return found

    async def delete(self, uri: str, *, recursive: bool = False) -> bool:
        there: bool = await self._ask("DELETE", "/files", bool, again=False, uri=uri, recursive=_flag(recursive))
        return there

    async def move(self, source: str, target: str) -> None:
        paths.resolve(target)
        await self._ask("POST", "/files/move", None, again=False, source=source, target=target)

    async def make_folder(self, uri: str) -> None:
        await self._ask("POST", "/files/folder", None, uri=uri)

    async def local_path(self, uri: str) -> Path | None:
        """None: nothing is local here. Raises FileMissing like every adapter."""
        await self.stat(uri)
        return None

    async def check(self) -> None:
        """The gateway looks after its own storage, and the worker after its gateways."""

    async def close(self) -> None:
        """The gateways belong to the worker."""

    async def _ask(
        self,
        method: str,
        path: str,
        shape: Any,
        *,
        data: Callable[[], Any] | None = None,
        again: bool = True,
        answer_s: float | None = 30.0,
        **params: str,
    ) -> Any:
        for name in ("uri", "source"):
            if name in params:
                paths.resolve(params[name])  # what cannot be named cannot be sent either
        async with self._gateways.request(
            method,
            path,
            params=params,
            data=data,
            held=self._held,
            answer_s=answer_s,
            again=again,
            patience_s=PATIENCE_S,
        ) as response:
            answer = await response.read()
        return msgspec.json.decode(answer, type=shape) if answer else None


class _Replaced(Transient):
    """The file changed while it was read."""


def _read_a_little(path: Path) -> None:
    """Raise OSError for what cannot be read, before anything is sent."""
    with path.open("rb") as file:
        file.read(1)


async def _chunks_of(path: Path) -> AsyncIterator[bytes]:
    handle = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(handle.read, CHUNK_BYTES):
            yield chunk
    finally:
        await asyncio.to_thread(handle.close)


def _flag(value: bool) -> str:
    return "true" if value else "false"
