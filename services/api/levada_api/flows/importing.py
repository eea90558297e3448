"""Flows in files: import of a YAML file or an archive, export as an archive, flows that arrive as namespace files."""

import io
import lzma
import struct
import zipfile
import zlib

from aiohttp import web

from levada.model.errors import UserError
from levada.store.port import FlowRow
from levada_api import errors, inputs
from levada_api.call import Call, json
from levada_api.executions.file import disposition
from levada_api.flows import many, saving
from levada_api.flows.search import asked, every

ARCHIVED_MAX = 10_000
#: What zipfile raises about an archive that is none, damaged, encrypted, or packed in a way that it does not know.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    LookupError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


async def into_namespace(call: Call, namespace: str, source: str) -> FlowRow:
    """Deploy a source, moved into `namespace`."""
    moved = saving.with_namespace(source, namespace)
    parsed = saving.checked(call, moved)
    if parsed.flow.namespace != namespace:
        raise errors.invalid_entity([errors.FieldError(f"must be {namespace}", "flow.namespace")])
    return await saving.save(call, moved, parsed, "any")


async def import_(call: Call) -> web.Response:
    """POST /flows/import, part `fileUpload`: the answer lists the flows that could not be imported."""
    name, content = await _upload(call)
    sources = _archived(content) if name.endswith(".zip") else saving.parts(content.decode("utf-8", "replace"))
    failed = []
    for source in sources:
        try:
            await saving.save(call, source, saving.checked(call, source), "any")
        except UserError as error:
            if call.flag("failOnError"):
                raise
            failed.append(_name(source, error))
    return json(failed)


def _name(source: str, error: UserError) -> str:
    data = saving.data_of(source)
    if isinstance(data, dict) and data.get("id"):
        return str(data["id"])
    return str(error).partition("\n")[0]


async def _upload(call: Call) -> tuple[str, bytes]:
    limit = call.api.config.limits.body
    async for part in inputs.parts(call):
        if part.name != "fileUpload":
            continue
        content = bytearray()
        async for chunk in inputs.chunks(part):
            content += chunk
            if len(content) > limit:
                raise errors.too_large("the upload", limit)
        return (part.filename or "").lower(), bytes(content)
    raise errors.unprocessable("the part `fileUpload` is missing")


def _archived(content: bytes) -> list[str]:
    """Return the YAML files of an archive, each within the limit of a flow's source."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith((".yml", ".yaml"))]
            if len(entries) > ARCHIVED_MAX or sum(entry.file_size for entry in entries) > 64 * len(content) + 10**6:
                raise errors.unprocessable("the archive has too many entries, or unpacks to far more than its size")
            return [unpacked(archive, entry).decode("utf-8", "replace") for entry in entries]
    except DAMAGED as error:
        raise errors.unprocessable(f"the upload is not a zip archive: {error}") from None


def unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return the content of an entry. Raises 422 when it is damaged, encrypted or packed in a way nobody here knows."""
    try:
        return archive.read(entry)
    except DAMAGED as error:
        raise errors.unprocessable(f"`{entry.filename}` in the archive cannot be unpacked: {error}") from None


async def export_by_ids(call: Call) -> web.Response:
    rows = [row for row in await many.named(call) if row is not None]
    return _archive(rows)


async def export_by_query(call: Call) -> web.Response:
    return _archive([row async for row in every(call, asked(call))])


def _archive(rows: list[FlowRow]) -> web.Response:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in rows:
            archive.writestr(f"{row.namespace}.{row.id}.yml", row.source)
    return web.Response(
        body=out.getvalue(),
        content_type="application/octet-stream",
        headers={"Content-Disposition": disposition("flows.zip")},
    )
