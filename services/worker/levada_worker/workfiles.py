"""Files into and out of a working directory: inputFiles, namespaceFiles, outputFiles.

A name that a flow gives is a path below the working directory and nothing else; links that a task left in there are not
followed out of it.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from levada.files import paths
from levada.model.errors import UserError
from levada.sdk.context import NamespaceFiles
from levada.sdk.properties import convert
from levada_worker import globs
from levada_worker.storage import NAMESPACE_SCHEME, TaskStorage

Warn = Callable[[str], None]


class NamespaceFilesChoice(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """The `namespaceFiles` property. Of several namespaces later ones win, as `if_exists` allows."""

    enabled: bool = True
    include: list[str] | None = None
    exclude: list[str] | None = None
    namespaces: list[str] | None = None
    if_exists: Literal["OVERWRITE", "FAIL", "WARN", "IGNORE"] = "OVERWRITE"
    folder_per_namespace: bool = False


async def put_inputs(folder: Path, given: Any, storage: TaskStorage) -> list[str]:
    """Write the files that a rendered `inputFiles` asks for; return their names."""
    written = []
    for name, content in _entries(given):
        target = inside(folder, name)
        if isinstance(content, str) and content.startswith(("kestra:///", NAMESPACE_SCHEME)):
            await storage.fetch(content, target)
        elif isinstance(content, str) and content.startswith("file://"):
            raise UserError(f"inputFiles: `{name}` names a file of the worker ({content}), which tasks may not read")
        else:
            data = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            await asyncio.to_thread(_write, target, data.encode())
        written.append(name)
    return written


async def put_namespace_files(folder: Path, given: Any, namespace: str, files: NamespaceFiles, warn: Warn) -> list[str]:
    """Write the namespace files that a rendered `namespaceFiles` chooses; return their names."""
    choice = _choice(given)
    if not choice.enabled:
        return []
    include = [globs.anywhere(pattern) for pattern in choice.include or ()]
    exclude = [globs.anywhere(pattern) for pattern in choice.exclude or ()]
    written: dict[str, str] = {}
    for source in choice.namespaces or [namespace]:
        for path in await files.list(source):
            path = path.lstrip("/")
            if include and not any(pattern.fullmatch(path) for pattern in include):
                continue
            if any(pattern.fullmatch(path) for pattern in exclude):
                continue
            name = f"{source}/{path}" if choice.folder_per_namespace else path
            target = inside(folder, name)
            if target.exists() and not _may_replace(choice, name, written.get(name), warn):
                continue
            await asyncio.to_thread(_write, target, await files.read(source, path))
            written[name] = source
    return list(written)


async def collect(folder: Path, patterns: Sequence[str], storage: TaskStorage, warn: Warn) -> dict[str, str]:
    """Store every file below `folder` that matches one of the patterns; return relative path -> URI."""
    names = await asyncio.to_thread(lambda: list(walk(folder)))
    chosen: dict[str, str] = {}
    for pattern in patterns:
        matcher = globs.compile(pattern)
        matching = [name for name in names if matcher.fullmatch(name)]
        if not matching:
            warn(f"outputFiles: nothing matches `{pattern}` in the working directory")
        for name in matching:
            if name not in chosen:
                chosen[name] = await storage.put(folder / name, name)
    return chosen


def walk(folder: Path) -> Iterator[str]:
    """Yield the relative paths of all regular files, by name; links are left out unless they stay inside."""
    root = os.path.realpath(folder)
    for current, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            full = os.path.join(current, name)
            real = os.path.realpath(full)
            if os.path.isfile(real) and (real == full or real.startswith(root + os.sep)):
                yield os.path.relpath(full, root)


def inside(folder: Path, name: str) -> Path:
    """Return the path of `name` below `folder`. Raises UserError when it would be elsewhere."""
    relative = paths.check(name.removeprefix("./").lstrip("/"), name)
    if not relative:
        raise UserError("a file in the working directory needs a name")
    target = folder / relative
    parent = os.path.realpath(target.parent)
    root = os.path.realpath(folder)
    if parent != root and not parent.startswith(root + os.sep):
        raise UserError(f"`{name}` leads out of the working directory over a link")
    return target


def _entries(given: Any) -> list[tuple[str, Any]]:
    if isinstance(given, str):
        text = given.strip()
        if text.startswith(("{", "[")):
            try:
                given = json.loads(text)
            except ValueError as problem:
                raise UserError(f"inputFiles is text, but no JSON map or list: {problem}") from problem
        elif text.startswith(("kestra:///", NAMESPACE_SCHEME)):
            given = [text]
    if given is None or given == "":
        return []
    if isinstance(given, Mapping):
        return [(str(name), content) for name, content in given.items() if content is not None]
    if isinstance(given, list):
        return [_entry_of(item) for item in given]
    raise UserError("inputFiles must be a map from name to content or URI, a list of URIs, or JSON text of either")


def _entry_of(item: Any) -> tuple[str, str]:
    if not isinstance(item, str) or not item.startswith(("kestra:///", NAMESPACE_SCHEME)):
        raise UserError(f"inputFiles as a list must have kestra:/// or nsfile:/// URIs, but has {item!r}")
    return PurePosixPath(item).name, item


def _choice(given: Any) -> NamespaceFilesChoice:
    if isinstance(given, bool):
        return NamespaceFilesChoice(enabled=given)
    if given is None:
        return NamespaceFilesChoice(enabled=False)
    if isinstance(given, str):
        given = json.loads(given) if given.strip().startswith("{") else {"enabled": given}
    values = {
        key: [item] if key in _LISTS and isinstance(item, str) and item[:1] != "[" else item
        for key, item in given.items()
    }
    return convert(NamespaceFilesChoice, values, name="namespaceFiles")


_LISTS = frozenset({"include", "exclude", "namespaces"})


def _may_replace(choice: NamespaceFilesChoice, name: str, source: str | None, warn: Warn) -> bool:
    origin = f"came from namespace {source}" if source else "is there already"
    match choice.if_exists:
        case "FAIL":
            raise UserError(f"namespaceFiles: `{name}` {origin}, and ifExists is FAIL")
        case "WARN":
            warn(f"namespaceFiles: `{name}` {origin}; it is replaced")
        case "IGNORE":
            return False
        case "OVERWRITE":
            pass
    return True


def _write(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    target.write_bytes(data)
