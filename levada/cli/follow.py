"""Watching one execution: its log lines as they come, the states of its task runs, and how it ends.

Two streams are read side by side, logs and progress. They end at different moments, and a line may still be on its way
when the execution is over; what was printed counts as the truth of the screen, so lines are told apart by their content
and the log is read once more at the end. A stream that breaks is read again; the execution does not care.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from levada.cli import screen
from levada.cli.client import Client, Refused, segment
from levada.cli.failures import Unreachable

TERMINAL = frozenset({"SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED", "RETRIED", "SKIPPED"})
GOOD = frozenset({"SUCCESS", "WARNING", "SKIPPED"})
"""End states that count as success for the exit code."""

RETRIES, RETRY_PAUSE_S = 20, 0.5
"""How long a server may be away (restarting) before we give up."""

Print = Callable[[str], None]


class Watch:
    """What is known of an execution while it runs."""

    def __init__(
        self, client: Client, execution_id: str, show: Print, *, level: str = "INFO", status: bool = True
    ) -> None:
        """`show` prints one line; `status` keeps a line with the progress below the log (terminals only)."""
        self._client, self._id, self._show, self._level = client, execution_id, show, level
        self._printed: Counter[tuple[Any, ...]] = Counter()
        self._line = StatusLine() if status and sys.stderr.isatty() else None

    async def until_end(self) -> dict[str, Any]:
        """Print until the execution has ended and return it. Raises Unreachable when the server stays away."""
        logs = asyncio.create_task(self._follow_logs(), name="follow-logs")
        try:
            with self._line or contextlib.nullcontext():
                ended = await self._follow_states()
                # The log stream closes by itself after the end; a slow one is not waited for, its rest is read below.
                await asyncio.wait([logs], timeout=2)
                await self._rest_of_logs()
        finally:
            logs.cancel()
            await asyncio.gather(logs, return_exceptions=True)
        return ended

    async def _follow_states(self) -> dict[str, Any]:
        async for execution in _again(lambda: self._client.follow(f"executions/{segment(self._id)}/follow")):
            if self._line:
                self._line.update(execution)
            if current(execution) in TERMINAL:
                # The last event may be older than the end of the last task run; the stored execution is not.
                return dict(await self._client.get(f"executions/{segment(self._id)}"))
        raise AssertionError("_again ends only by an error")

    async def _follow_logs(self) -> None:
        path = f"logs/{segment(self._id)}/follow"
        async for entry in self._client.follow(path, minLevel=self._level):
            self._print(entry)

    async def _rest_of_logs(self) -> None:
        seen: Counter[tuple[Any, ...]] = Counter()
        for entry in await self._client.get(f"logs/{segment(self._id)}", minLevel=self._level):
            identity = _identity(entry)
            seen[identity] += 1
            if seen[identity] > self._printed[identity]:
                self._print(entry)

    def _print(self, entry: dict[str, Any]) -> None:
        self._printed[_identity(entry)] += 1
        line = screen.log_line(entry)
        if self._line:
            self._line.above(self._show, line)
        else:
            self._show(line)


class StatusLine:
    """One line at the bottom of a terminal: state, task runs done, what runs now. Drawn on stderr, redrawn in place."""

    CLEAR = "\r\x1b[2K"

    def __init__(self) -> None:
        self._text = ""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._text = ""
        self._draw()

    def update(self, execution: dict[str, Any]) -> None:
        """Show where the execution stands."""
        self._text = progress_text(execution)
        self._draw()

    def above(self, show: Print, line: str) -> None:
        """Print a line above the status."""
        print(self.CLEAR, end="", file=sys.stderr, flush=True)
        show(line)
        self._draw()

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1
        print(self.CLEAR + self._text[:width], end="", file=sys.stderr, flush=True)


def progress_text(execution: dict[str, Any]) -> str:
    """Return where an execution stands, in one line."""
    runs = execution.get("taskRunList") or []
    states = Counter(current(run) for run in runs)
    done = sum(count for state, count in states.items() if state in TERMINAL)
    active = sorted({str(run["taskId"]) for run in runs if current(run) == "RUNNING"})
    text = f"{current(execution)}  {done}/{len(runs)} task runs"
    return f"{text}  {', '.join(active[:4])}{' …' if len(active) > 4 else ''}" if active else text


def current(thing: dict[str, Any]) -> str:
    """Return the state of an execution or task run."""
    return str(thing["state"]["current"])


def show_end(execution: dict[str, Any]) -> None:
    """Print how an execution ended: its state, the failed task runs, its outputs."""
    duration = screen.duration(execution["state"].get("duration"))
    screen.say(
        f"{screen.state(current(execution))}  {execution['namespace']}.{execution['flowId']}  {execution['id']}  {duration}"
    )
    failed = [run for run in execution.get("taskRunList") or [] if current(run) == "FAILED"]
    if failed:
        screen.table(
            ["task", "value", "attempts", "state"],
            [[run["taskId"], run.get("value"), len(run.get("attempts") or []), current(run)] for run in failed[:20]],
            title="Failed task runs",
        )
    outputs = execution.get("outputs") or {}
    if outputs:
        screen.table(["output", "value"], outputs.items(), title="Outputs")


def _identity(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry.get("timestamp"), entry.get("taskRunId"), entry.get("level"), entry.get("message")


async def _again(stream: Callable[[], AsyncIterator[dict[str, Any]]]) -> AsyncIterator[dict[str, Any]]:
    """Yield from `stream`, opened again when it breaks or ends; gives up after `RETRIES` failures in a row."""
    failures = 0
    while True:
        try:
            async for item in stream():
                failures = 0
                yield item
        except (Unreachable, Refused) as error:
            failures += 1
            if failures > RETRIES or (isinstance(error, Refused) and error.status < 500):
                raise
        await asyncio.sleep(RETRY_PAUSE_S)
