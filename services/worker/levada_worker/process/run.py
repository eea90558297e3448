"""Running one command for a task: its environment, its output as log lines, the protocol, its end."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from levada.sdk.context import ProcessResult
from levada_worker.attempt_log import AttemptLog
from levada_worker.process import markup
from levada_worker.process.guarded import Child, Ended, Guard
from levada_worker.process.lines import Lines

#: The only variables of the worker's own environment that a task may see.
INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR")
MARKUP_BYTES = 2 * 1024 * 1024
LEVEL = {"stdout": "INFO", "stderr": "ERROR"}


class Printed:
    """What a child prints: lines go to the log, the protocol is read, a flood is held back."""

    def __init__(self, log: AttemptLog, *, line_bytes: int, rate_bytes: int) -> None:
        self.child: Child | None = None
        self.outputs: dict[str, Any] = {}
        self.counts = {"stdout": 0, "stderr": 0}
        self._log = log
        self._lines = {stream: Lines(line_bytes, MARKUP_BYTES) for stream in self.counts}
        self._rate = rate_bytes
        self._loop = asyncio.get_running_loop()
        # A short burst is normal; only a lasting flood is slowed down.
        self._allowance = 4.0 * rate_bytes
        self._refilled = self._loop.time()

    def receive(self, stream: str, data: bytes) -> None:
        for line in self._lines[stream].feed(data):
            self.counts[stream] += 1
            if stream == "stdout" and markup.looks_like_markup(line):
                self._read(line)
            else:
                self._log.write(LEVEL[stream], line)
        self._allowance -= len(data)
        if self.child is not None and data:
            self._hold_back(self.child)

    def _read(self, line: str) -> None:
        try:
            message = markup.read(line)
        except markup.Unreadable as problem:
            self._log.write("WARN", f"a line looks like outputs or metrics but was not understood: {problem}: {line}")
            return
        self.outputs.update(message.outputs)
        for metric in message.metrics:
            self._log.metric(metric.kind, metric.name, metric.value, metric.tags)
        for level, text in message.logs:
            self._log.write(level, text)

    def _hold_back(self, child: Child) -> None:
        if self._log.buffer.crowded and self._log.path is None:
            child.hold()
            self._log.buffer.when_room(child.go_on)
            return
        now = self._loop.time()
        self._allowance = min(4.0 * self._rate, self._allowance + (now - self._refilled) * self._rate)
        self._refilled = now
        if self._allowance < 0:
            child.hold()
            self._loop.call_later(-self._allowance / self._rate, child.go_on)


async def run(
    guard: Guard,
    printed: Printed,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    grace_s: Callable[[], float],
) -> tuple[ProcessResult, Ended]:
    """Run to the end. When cancelled, end the whole tree first, then raise. Raises CannotStart."""
    child = guard.start(argv, env=env, cwd=cwd, receive=printed.receive)
    printed.child = child
    try:
        ended = await child.wait()
    except asyncio.CancelledError:
        await _stop(child, grace_s())
        raise
    result = ProcessResult(
        exit_code=ended.exit_code,
        stdout_lines=printed.counts["stdout"],
        stderr_lines=printed.counts["stderr"],
        outputs=printed.outputs,
    )
    return result, ended


async def _stop(child: Child, grace_s: float) -> None:
    """End the tree; a second cancellation while it is asked politely kills it at once."""
    child.stop(grace_s)
    ending = asyncio.ensure_future(child.wait())
    while not ending.done():
        try:
            await asyncio.wait([ending])
        except asyncio.CancelledError:
            child.stop(0)
    ending.exception()


def environment(working_dir: Path, given: Mapping[str, str] | None, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a child: nothing of the worker's own but INHERITED."""
    found = {name: os.environ[name] for name in INHERITED if name in os.environ}
    found.setdefault("PATH", os.defpath)
    found["HOME"] = str(working_dir)
    found["WORKING_DIR"] = str(working_dir)
    found.update(extra)
    found.update(given or {})
    return found
