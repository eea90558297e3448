"""Namespace files as tasks use them: a folder of the internal storage, `_files/{namespace}/`.

Apart from the other services because this one needs nothing but files: a worker elsewhere has those over HTTP.
"""

from levada.files import paths
from levada.files.port import Files


class StoredNamespaceFiles:
    """`sdk.NamespaceFiles` in the internal storage, below `_files/{namespace}/`."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def list(self, namespace: str) -> list[str]:
        root = paths.namespace_file(namespace, "")
        if not await self._files.exists(root):
            return []
        found = await self._files.list(root, recursive=True)
        return sorted(stat.uri.removeprefix(f"{root}/") for stat in found if not stat.is_folder)

    async def read(self, namespace: str, path: str) -> bytes:
        return await self._files.read(paths.namespace_file(namespace, path))

    async def put(self, namespace: str, path: str, content: bytes) -> None:
        await self._files.put(paths.namespace_file(namespace, path), content)

    async def delete(self, namespace: str, path: str) -> bool:
        return await self._files.delete(paths.namespace_file(namespace, path), recursive=True)
