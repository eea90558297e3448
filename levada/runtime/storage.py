"""Internal storage as the settings name it: a folder, or an object store.

The client of object stores is loaded only where one is named; every other process goes without its memory.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import unquote, urlsplit

from levada.files.local import LocalFiles
from levada.files.port import Files
from levada.model.errors import UserError
from levada.runtime.config import Config


async def open_files(config: Config) -> Files:
    """Return the internal storage, looked at once.

    Raises UserError for an address that cannot be or credentials that are refused, Transient when the store is away.
    """
    files = await asyncio.to_thread(_opened, config)
    try:
        await files.check()
    except BaseException:
        await files.close()
        raise
    return files


def _opened(config: Config) -> Files:
    url, storage = config.storage_url, config.storage
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalFiles(Path(unquote(parts.path)))
    from levada.files.objects.opening import Access, open_objects

    try:
        ca = storage.ca_file.read_bytes() if storage.ca_file is not None else None
    except OSError as problem:
        raise UserError(f"storage.ca_file: {storage.ca_file} cannot be read: {problem.strerror}") from problem
    access = Access(
        endpoint=storage.endpoint,
        region=storage.region,
        access_key=storage.access_key,
        secret_key=storage.secret_key,
        ca=ca,
        timeout_s=storage.timeout,
    )
    return open_objects(url, access)
