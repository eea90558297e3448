"""Files of a namespace: a small tree of its own, edited over HTTP and read by tasks.

A POST to `/_flows/{name}.yml` does not store a file: it deploys the flow, moved into this namespace.
"""

import io
import zipfile
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from levada.files import paths
from levada.files.port import Stat
from levada_api import errors, inputs
from levada_api.call import Call, json, limited
from levada_api.executions.file import disposition, send
from levada_api.flows import importing
from levada_api.kv import checked_namespace

FLOWS_FOLDER = "/_flows/"
#: What an uploaded archive may hold, so that a small upload cannot fill the storage.
ZIP_ENTRIES_MAX = 10_000


def _uri(call: Call, path: str | None = None) -> str:
    return paths.namespace_file(call.params["namespace"], path if path is not None else call.required("path"))


async def get(call: Call) -> web.StreamResponse:
    return await send(call, _uri(call))


async def create(call: Call) -> web.Response:
    """POST ?path= with a multipart part `fileContent` (or the bare content as the body)."""
    namespace, path = checked_namespace(call), call.required("path")
    if path.startswith(FLOWS_FOLDER):
        source = (await _content(call)).decode("utf-8", "replace")
        await importing.into_namespace(call, namespace, source)
        return web.Response()
    if call.request.content_type != "multipart/form-data":
        await _put(call, path, call.chunks(call.api.config.limits.upload))
        return web.Response()
    async for part in inputs.parts(call):
        if (part.filename or "").lower().endswith(".zip") and not path.lower().endswith(".zip"):
            await _unpack(call, path, b"".join([chunk async for chunk in _limited(call, part, "body")]))
        else:
            await _put(call, path, _limited(call, part, "upload"))
        return web.Response()
    raise errors.unprocessable("the part `fileContent` is missing")


def _limited(call: Call, part: Any, limit: str) -> AsyncIterator[bytes]:
    return limited(inputs.chunks(part), getattr(call.api.config.limits, limit), "the file")


async def _content(call: Call) -> bytes:
    if call.request.content_type != "multipart/form-data":
        return await call.read()
    async for part in inputs.parts(call):
        return b"".join([chunk async for chunk in _limited(call, part, "flow_source")])
    raise errors.unprocessable("the part `fileContent` is missing")


async def _put(call: Call, path: str, content: AsyncIterator[bytes] | bytes) -> None:
    uri = _uri(call, path)
    if uri == _uri(call, "/"):
        raise errors.illegal_argument("`path` must name a file")
    await call.api.platform.files.put(uri, content)


async def _unpack(call: Call, folder: str, content: bytes) -> None:
    """Store every entry of an archive below `folder`; entries count with their unpacked size."""
    left = call.api.config.limits.upload
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except importing.DAMAGED as error:
        raise errors.unprocessable(f"the upload is not a zip archive: {error}") from None
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(entries) > ZIP_ENTRIES_MAX:
            raise errors.unprocessable(f"the archive has {len(entries)} entries, more than {ZIP_ENTRIES_MAX}")
        left -= sum(entry.file_size for entry in entries)
        if left < 0:
            raise errors.too_large("the unpacked archive", call.api.config.limits.upload)
        for entry in entries:
            await _put(call, f"{folder.rstrip('/')}/{entry.filename}", importing.unpacked(archive, entry))


async def move(call: Call) -> web.Response:
    source, target = _uri(call, call.required("from")), _uri(call, call.required("to"))
    await call.api.platform.files.move(source, target)
    return web.Response()


async def delete(call: Call) -> web.Response:
    """Also 200 when there is nothing: deleting twice is no error."""
    await call.api.platform.files.delete(_uri(call), recursive=True)
    return web.Response()


async def stats(call: Call) -> web.Response:
    uri = _uri(call, call.arg("path") or "/")
    return json(attributes(await call.api.platform.files.stat(uri)))


async def listing(call: Call) -> web.Response:
    """GET …/directory: what is directly in the folder; the root of a namespace without files is empty."""
    path = call.arg("path") or "/"
    if path.strip("/") and not await call.api.platform.files.exists(_uri(call, path)):
        raise errors.not_found(f"There is no folder {path} in namespace {call.params['namespace']}")
    return json([attributes(stat) for stat in await _list(call, path, recursive=False)])


async def make_folder(call: Call) -> web.Response:
    checked_namespace(call)
    await call.api.platform.files.make_folder(_uri(call))
    return web.Response()


async def search(call: Call) -> web.Response:
    """GET …/search?q=: paths of all files whose path holds the text."""
    text = (call.arg("q") or "").lower()
    found = [_path(call, stat.uri) for stat in await _list(call, "/", recursive=True) if not stat.is_folder]
    return json(sorted(path for path in found if text in path.lower()))


async def export(call: Call) -> web.Response:
    """GET …/export: all files of the namespace as a zip archive."""
    limit = call.api.config.limits.upload
    out, size = io.BytesIO(), 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for stat in await _list(call, "/", recursive=True):
            if stat.is_folder:
                continue
            size += stat.size
            if size > limit:
                raise errors.too_large("the export", limit)
            archive.writestr(_path(call, stat.uri).lstrip("/"), await call.api.platform.files.read(stat.uri))
    name = f"{call.params['namespace']}_files.zip"
    return web.Response(
        body=out.getvalue(), content_type="application/zip", headers={"Content-Disposition": disposition(name)}
    )


async def _list(call: Call, path: str, *, recursive: bool) -> list[Stat]:
    uri = _uri(call, path)
    if not await call.api.platform.files.exists(uri):
        return []
    return await call.api.platform.files.list(uri, recursive=recursive)


def _path(call: Call, uri: str) -> str:
    return uri.removeprefix(_uri(call, "/")) or "/"


def attributes(stat: Stat) -> dict[str, Any]:
    """Times in milliseconds, as Java sends them."""
    return {
        "fileName": stat.uri.rstrip("/").rpartition("/")[2],
        "type": "Directory" if stat.is_folder else "File",
        "size": stat.size,
        "lastModifiedTime": stat.modified // 1000,
        "creationTime": stat.modified // 1000,
    }
