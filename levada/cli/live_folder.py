"""A folder of flow files that a server follows while somebody edits them.

The files are the truth: what is saved is deployed, or its error printed with line and column, well before the person has
looked up. A file that disappears only takes its flows out of the server when asked to (`prune`): a wrong `git checkout`
must not delete anything. What has been deployed is remembered by content, so touching a file deploys nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path

from levada.cli import screen, sources
from levada.cli.client import Client, Refused, segment
from levada.cli.sources import Checked
from levada.model.errors import LevadaError

QUIET_MS = 50
"""A burst of changes (an editor's save, a checkout) is over when nothing happened for this long."""

LONGEST_BURST_MS = 300

FlowKey = tuple[str, str]
"""Namespace and id."""


class LiveFolder:
    """The flows below one folder and what the server has of them."""

    def __init__(self, folder: Path, client: Client, *, prune: bool = False) -> None:
        self._folder, self._client, self._prune = folder, client, prune
        self._deployed: dict[Path, dict[FlowKey, str]] = {}
        """What each file last gave the server: flow -> digest of its source."""

    async def deploy_all(self) -> tuple[int, int]:
        """Deploy every file; return how many flows are live and how many files are wrong."""
        files = sources.find([self._folder])
        wrong = 0
        for path in files:
            content = await asyncio.to_thread(_content, path)
            if content is not None and not await self._deploy_file(path, content, quiet=True):
                wrong += 1
        return sum(len(flows) for flows in self._deployed.values()), wrong

    async def watch(self, stop: asyncio.Event) -> None:
        """Deploy what is saved, until `stop`. Returns only then; a failing server is reported and tried again."""
        from watchfiles import awatch

        changes = awatch(
            self._folder,
            watch_filter=lambda _, path: sources.is_flow_file(Path(path), self._folder.resolve()),
            stop_event=stop,
            step=QUIET_MS,
            debounce=LONGEST_BURST_MS,
        )
        async for batch in changes:
            for path in sorted({self._folder / Path(name).relative_to(self._folder.resolve()) for _, name in batch}):
                await self._changed(path)

    async def _changed(self, path: Path) -> None:
        # What the event says may be over already (editors write aside and rename); what is on disk now counts.
        try:
            content = await asyncio.to_thread(_content, path)
            if content is None:
                await self._gone(path, self._deployed.pop(path, {}))
            else:
                await self._deploy_file(path, content)
        except LevadaError as error:
            screen.note(f"{path}: {error}")
        except OSError as error:
            screen.note(f"{path}: {error.strerror}")

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
