"""Files that an execution stored: download, size, preview.

A caller names files by URI, so every URI is checked against the execution of the path before the storage is asked. A file
of another execution of any flow is not served here; the answer says where it is (as Kestra does), and what may be read
there is decided there.
"""

import base64
import re
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from levada.files import paths
from levada.files.port import SCHEME
from levada.model.execution import Execution
from levada_api import errors
from levada_api.call import Call, json
from levada_api.executions.read import found

_OWNER = re.compile(r"/executions/([0-9A-Za-z]+)/")

PREVIEW_ROWS = 100
PREVIEW_ROWS_MAX = 5000
#: A preview never reads more than this.
PREVIEW_BYTES = 2 * 1024 * 1024
IMAGES = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "ico"})
ROWS = frozenset({"ion", "jsonl", "ndjson"})


def checked(call: Call, execution: Execution) -> str:
    """Return the URI that the query names. Raises 422, or a redirect when another execution owns the file."""
    uri = call.required("path")
    if not uri.startswith(f"{SCHEME}/") or "/../" in uri:
        raise errors.illegal_argument(f"Invalid prefix path `{uri}`: a file of an execution starts with {SCHEME}/")
    if uri.startswith(paths.execution_folder(execution.namespace, execution.flow_id, execution.id) + "/"):
        return uri
    owner = _OWNER.search(uri)
    if owner is None or owner[1] == execution.id:
        raise errors.illegal_argument(f"Invalid prefix path `{uri}`: it does not belong to execution {execution.id}")
    head, _, last = call.request.rel_url.raw_path.partition(f"/{execution.id}/")
    raise errors.ApiError(
        301,
        f"the file belongs to execution {owner[1]}",
        reason="Moved Permanently",
        headers={"Location": f"{head}/{owner[1]}/{last}?path={quote(uri, safe='')}"},
    )


async def download(call: Call) -> web.StreamResponse:
    uri = checked(call, await found(call))
    return await send(call, uri)


async def send(call: Call, uri: str, name: str | None = None) -> web.StreamResponse:
    """Stream a stored file as an attachment. Raises FileMissing."""
    files = call.api.platform.files
    stat = await files.stat(uri)
    if stat.is_folder:
        raise errors.illegal_argument(f"{uri} is a folder, not a file")
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": disposition(name or uri.rpartition("/")[2]),
        # What users stored is never run by a browser as a page of ours.
        "X-Content-Type-Options": "nosniff",
    }
    response = web.StreamResponse(headers=headers)
    response.content_length = stat.size
    await response.prepare(call.request)
    if call.request.method != "HEAD":
        async for chunk in files.get(uri):
            await response.write(chunk)
    await response.write_eof()
    return response


def disposition(name: str) -> str:
    """Return the header for a download: an ASCII name for old clients, the real one for all others."""
    plain = "".join(c if 32 <= ord(c) < 127 and c not in '"\\;%' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


async def metas(call: Call) -> web.Response:
    uri = checked(call, await found(call))
    stat = await call.api.platform.files.stat(uri)
    return json({"size": stat.size})


async def preview(call: Call) -> web.Response:
    uri = checked(call, await found(call))
    encoding = call.arg("encoding") or "UTF-8"
    rows = call.integer("maxRows", PREVIEW_ROWS, low=1, high=PREVIEW_ROWS_MAX)
    files = call.api.platform.files
    stat = await files.stat(uri)
    content = bytearray()
    async for chunk in files.get(uri, length=min(stat.size, PREVIEW_BYTES)):
        content += chunk
    extension = uri.rpartition("/")[2].rpartition(".")[2].lower() if "." in uri.rpartition("/")[2] else ""
    cut = stat.size > PREVIEW_BYTES
    try:
        return json(shown(bytes(content), extension, encoding, rows, cut))
    except (LookupError, ValueError):
        raise errors.illegal_argument(f"cannot preview {uri} using encoding '{encoding}'") from None


def shown(content: bytes, extension: str, encoding: str, rows: int, cut: bool) -> dict[str, Any]:
    """Return the preview of a file's beginning; `cut` says that the file goes on after `content`."""
    out: dict[str, Any] = {"extension": extension, "maxLine": rows, "truncated": cut}
    if extension in IMAGES:
        return {**out, "type": "IMAGE", "content": base64.b64encode(content).decode()}
    if extension == "pdf":
        return {**out, "type": "PDF", "content": base64.b64encode(content).decode()}
    text = content.decode(encoding, "replace")
    lines = text.splitlines()
    if cut and len(lines) > 1:
        # The last line may be half of one.
        lines.pop()
    if extension in ROWS:
        kept = [_row(line) for line in lines[:rows] if line.strip()]
        return {**out, "type": "LIST", "content": kept, "truncated": cut or len(lines) > rows}
    kind = "MARKDOWN" if extension == "md" else "TEXT"
    return {**out, "type": kind, "content": "\n".join(lines[:rows]), "truncated": cut or len(lines) > rows}


def _row(line: str) -> Any:
    """Rows are JSON lines; what is not JSON (Ion text of other tools) is shown as it stands."""
    try:
        return msgspec.json.decode(line.encode())
    except msgspec.DecodeError:
        return line
