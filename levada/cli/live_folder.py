"""A folder of flow files that a server follows while somebody edits them.

The files are the truth: what is saved is deployed, or its error printed with line and column, well before the person has
looked up. What the operating system tells of changes is only a reason to look now; what counts is what differs from the
last look, and there is a look every few seconds anyway, for folders whose changes nobody tells. A file that disappears only takes its flows out of the server when asked to (`prune`): a wrong `git checkout`
must not delete anything. What has been deployed is remembered by content, so touching a file deploys nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import TypeVar

from levada.cli import screen, sources
from levada.cli.client import Client, Refused, segment
from levada.cli.sources import Checked
from levada.model.errors import LevadaError

T = TypeVar("T")

QUIET_MS = 50
"""A burst of changes (an editor's save, a checkout) is over when nothing happened for this long."""

LONGEST_BURST_MS = 300
LOOK_EVERY_MS = 3_000

FlowKey = tuple[str, str]
"""Namespace and id."""

Stamp = tuple[int, int, int]
"""What changes when a file is saved: time (ns), size, inode."""


class LiveFolder:
    """The flows below one folder and what the server has of them."""

    def __init__(self, folder: Path, client: Client, *, prune: bool = False) -> None:
        self._folder, self._client, self._prune = folder, client, prune
        self._deployed: dict[Path, dict[FlowKey, str]] = {}
        """What each file last gave the server: flow -> digest of its source."""

        self._seen: dict[Path, Stamp] = {}
        self._wrong: set[Path] = set()
        self._failure = ""

    async def deploy_all(self) -> tuple[int, int]:
        """Deploy every file; return how many flows are live and how many files are wrong."""
        await self._look(quiet=True)
        return sum(len(flows) for flows in self._deployed.values()), len(self._wrong)

    async def watch(self, stop: asyncio.Event) -> None:
        """Deploy what is saved, until `stop`. Returns only then; a failing server is reported and tried again."""
        from watchfiles import awatch

        root = self._folder.resolve()
        hints = awatch(
            root,
            watch_filter=lambda _, path: sources.is_flow_file(Path(path), root),
            stop_event=stop,
            step=QUIET_MS,
            debounce=LONGEST_BURST_MS,
            rust_timeout=LOOK_EVERY_MS,
            yield_on_timeout=True,
        )
        hint = asyncio.ensure_future(anext(hints, None))
        await asyncio.sleep(0)  # the watcher is set up: whatever was saved before that is found by the first look
        while not stop.is_set():
            await self._look()
            if await hint is None:
                return
            hint = asyncio.ensure_future(anext(hints, None))
        hint.cancel()
        await asyncio.wait([hint])

    async def _look(self, *, quiet: bool = False) -> None:
        """Compare the folder with the last look and act on what differs."""
        now = await asyncio.to_thread(_stamps, self._folder)
        if now is None:
            self._tell_once(f"{self._folder} is not there; its flows stay as they are")
            return
        changed = [path for path, stamp in now.items() if self._seen.get(path) != stamp]
        gone = [path for path in self._seen if path not in now]
        for path in changed:
            if await self._changed(path, quiet):
                self._seen[path] = now[path]
        for path in gone:
            del self._seen[path]
            self._wrong.discard(path)
            await self._reported(path, self._gone(path, self._deployed.pop(path, {})))

    async def _changed(self, path: Path, quiet: bool) -> bool:
        """Deploy what is in a file now; False when the server could not be asked, so that it is tried again."""
        content = await asyncio.to_thread(_content, path)
        if content is None:
            return False  # gone meanwhile: the next look says so
        right = await self._reported(path, self._deploy_file(path, content, quiet=quiet))
        if right is None:
            return False
        (self._wrong.discard if right else self._wrong.add)(path)
        return True

    async def _reported(self, path: Path, step: Awaitable[T]) -> T | None:
        """Return what a step gives; None after printing why it could not be done."""
        try:
            result = await step
        except LevadaError as error:
            self._tell_once(f"{path}: {error}")
            return None
        self._failure = ""
        return result

    def _tell_once(self, failure: str) -> None:
        if failure != self._failure:
            screen.note(failure)
        self._failure = failure

    async def _deploy_file(self, path: Path, content: bytes, *, quiet: bool = False) -> bool:
        """Deploy the flows of a file; False when something is wrong with it. All of a file or nothing."""
        documents = sources.cut(path, content)
        checked = await asyncio.to_thread(sources.check_all, documents)
        problems = [problem for one in checked for problem in one.problems]
        for problem in problems:
            screen.note(problem.line_text)
        if problems:
            return False
        before, now = self._deployed.get(path, {}), _digests(checked)
        for one in checked:
            if not await self._deploy(one, before, quiet):
                return False
        self._deployed[path] = now
        await self._gone(path, {key: digest for key, digest in before.items() if key not in now})
        return True

    async def _deploy(self, checked: Checked, before: dict[FlowKey, str], quiet: bool) -> bool:
        assert checked.flow is not None
        key = (checked.flow.namespace, checked.flow.id)
        if before.get(key) == _digest(checked):
            return True
        try:
            flow = await self._client.deploy(*key, checked.document.source)
        except Refused as refused:
            for line in refused.problems or [str(refused)]:
                screen.note(f"{checked.document.place}: {line}")
            return False
        if not quiet:
            screen.note(f"deployed {'.'.join(key)} revision {flow['revision']}")
        return True

    async def _gone(self, path: Path, flows: Iterable[FlowKey]) -> None:
        for namespace, flow_id in flows:
            if any((namespace, flow_id) in others for others in self._deployed.values()):
                continue  # it moved to another file
            if not self._prune:
                screen.note(
                    f"{path} no longer has {namespace}.{flow_id}; the server keeps it "
                    f"(levada flows delete {namespace} {flow_id})"
                )
                continue
            await self._client.delete(f"flows/{segment(namespace)}/{segment(flow_id)}")
            screen.note(f"deleted {namespace}.{flow_id}")


def _stamps(folder: Path) -> dict[Path, Stamp] | None:
    """Return the stamps of all flow files, without those that vanish meanwhile; None when there is no folder."""
    if not folder.is_dir():
        return None
    stamps: dict[Path, Stamp] = {}
    for path in sources.find([folder]):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            stamps[path] = (found.st_mtime_ns, found.st_size, found.st_ino)
    return stamps


def _content(path: Path) -> bytes | None:
    """Return what is in the file now; None when there is no such file any more."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _digests(checked: Iterable[Checked]) -> dict[FlowKey, str]:
    return {(one.flow.namespace, one.flow.id): _digest(one) for one in checked if one.flow is not None}


def _digest(checked: Checked) -> str:
    return hashlib.sha256(checked.document.source).hexdigest()
