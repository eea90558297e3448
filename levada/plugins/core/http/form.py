"""The body of a request: text, JSON, an encoded form, or a multipart form with files of internal storage."""

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlencode

from levada.plugins.core.http.options import Requesting
from levada.sdk import RunContext, TaskFailed

STORED = ("kestra://", "nsfile://")


@contextlib.asynccontextmanager
async def body(ctx: RunContext, task: Requesting, headers: dict[str, str]) -> AsyncIterator[Any]:
    """Give what aiohttp shall send, and set Content-Type in `headers` unless the flow did.

    Raises TaskFailed when both `body` and `formData` are given.
    """
    if task.body is not None and task.form_data is not None:
        raise TaskFailed("`body` and `formData` exclude each other: give only one of them")
    chosen = any(name.lower() == "content-type" for name in headers)
    if task.form_data is not None and task.content_type.lower().startswith("multipart/"):
        async with _multipart(ctx, task.form_data) as form:
            yield form
        return
    if task.form_data is not None:
        if not chosen:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        pairs = [(name, _text(value)) for name, value in task.form_data.items()]
        yield urlencode(pairs).encode()
        return
    if task.body is None:
        yield None
        return
    if not chosen:
        headers["Content-Type"] = task.content_type
    yield (task.body if isinstance(task.body, str) else json.dumps(task.body, ensure_ascii=False)).encode()


@contextlib.asynccontextmanager
async def _multipart(ctx: RunContext, fields: dict[str, Any]) -> AsyncIterator[Any]:
    """Give a form whose files are read from a scratch folder, so that their length is known and memory is spared."""
    import aiohttp

    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=ctx.working_dir, prefix=".form-"))
    form = aiohttp.FormData(default_to_multipart=True)
    with contextlib.ExitStack() as files:
        try:
            for number, (name, value) in enumerate(fields.items()):
                content, file_name = _part(name, value)
                if isinstance(content, str) and content.startswith(STORED):
                    local = await ctx.storage.fetch(content, folder / str(number))
                    file = files.enter_context(await asyncio.to_thread(local.open, "rb"))
                    form.add_field(name, file, filename=file_name or PurePosixPath(content).name)
                elif file_name is not None:
                    form.add_field(name, content.encode(), filename=file_name)
                else:
                    form.add_field(name, content)
            yield form
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _part(name: str, value: Any) -> tuple[str, str | None]:
    """Return content and file name of a field; a map of `name` and `content` is a file with a name of its own."""
    if not isinstance(value, dict):
        return _text(value), None
    if not {"name", "content"} >= value.keys() or "content" not in value:
        raise TaskFailed(f"`formData.{name}` must be a text, a URI or a map with `name` and `content`")
    return _text(value["content"]), str(value["name"]) if value.get("name") else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
