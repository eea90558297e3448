"""The log of one attempt: identity, secrets, level, limits; to the log store or to a file."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from levada.expr.errors import ExpressionError
from levada.model.jobs import LogEntry, MetricEntry
from levada.runtime import metrics
from levada_worker.logs import LEVELS, Identity, LogBuffer
from levada_worker.mask import Masker

#: Beyond the limit one line in so many is kept, so that the end of a long log still shows signs of life.
SAMPLE = 1000
#: What a line costs beside its text, so that millions of empty lines reach the limit too.
LINE_COST_BYTES = 64
#: A line that was cut while it was read has its marker beyond the limit already.
MARKER_BYTES = 64


class AttemptLog:
    """Never blocks, except for the local file of `logToFile`. `limit_bytes` bounds the text of the attempt."""

    def __init__(
        self,
        identity: Identity,
        buffer: LogBuffer,
        masker: Masker,
        now_us: Callable[[], int],
        *,
        line_bytes: int = 32 * 1024,
        limit_bytes: int = 100 * 1024 * 1024,
        minimum: str | None = None,
        file: Path | None = None,
    ) -> None:
        self.identity = identity
        self.buffer = buffer
        self.masker = masker
        self.now_us = now_us
        self._line_bytes = line_bytes
        self._limit_bytes = limit_bytes
        self._minimum = LEVELS.get((minimum or "TRACE").upper(), 0)
        self._seq = 0
        self._bytes = 0
        self._over = 0
        self._lost = 0
        self.path = file
        self._file: BinaryIO | None = file.open("wb") if file is not None else None

    def child(self, identity: Identity, minimum: str | None, file: Path | None) -> "AttemptLog":
        """The log of a task that runs inside this one; secrets are shared."""
        return AttemptLog(
            identity,
            self.buffer,
            self.masker,
            self.now_us,
            line_bytes=self._line_bytes,
            limit_bytes=self._limit_bytes,
            minimum=minimum,
            file=file,
        )

    def write(self, level: str, message: str) -> None:
        """Add one line; unknown levels count as INFO."""
        rank = LEVELS.get(level)
        if rank is None:
            level, rank = level.upper() if level.upper() in LEVELS else "INFO", LEVELS.get(level.upper(), 2)
        if rank < self._minimum:
            return
        self._bytes += len(message) + LINE_COST_BYTES
        if self._bytes > self._limit_bytes:
            self._over += 1
            if self._over == 1:
                self._add("WARN", self._limit_notice())
            if self._over % SAMPLE:
                metrics.TASK_LINES_DROPPED.inc("limit")
                return
        self._add(level, self._clean(message))

    def metric(self, kind: str, name: str, value: float, tags: dict[str, str]) -> None:
        me = self.identity
        self.buffer.add_metric(
            MetricEntry(
                execution_id=me.execution_id,
                namespace=me.namespace,
                flow_id=me.flow_id,
                tenant=me.tenant,
                task_id=me.task_id,
                task_run_id=me.task_run_id,
                name=name,
                kind=kind,
                value=value,
                at=self.now_us(),
                tags={key: self.masker.hide(text) for key, text in tags.items()},
            )
        )

    def close(self) -> Path | None:
        """Say what was dropped; return the file when lines went there."""
        if self._over:
            self._add("WARN", f"{self._over - self._over // SAMPLE:,} lines beyond the limit were dropped")
        if self._lost:
            self._add("WARN", f"{self._lost:,} lines were dropped because the log store was too slow")
        if self._file is not None:
            self._file.close()
        return self.path

    def _add(self, level: str, message: str) -> None:
        at = self.now_us()
        if self._file is not None:
            stamp = datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(timespec="milliseconds")
            self._file.write(f"{stamp[:-6]}Z {level} {message}\n".encode("utf-8", "replace"))
            return
        if self.buffer.full:
            self._lost += 1
            metrics.TASK_LINES_DROPPED.inc("slow")
            return
        me = self.identity
        self._seq += 1
        self.buffer.add(
            LogEntry(
                execution_id=me.execution_id,
                namespace=me.namespace,
                flow_id=me.flow_id,
                tenant=me.tenant,
                level=level,
                message=message,
                at=at,
                seq=self._seq,
                task_id=me.task_id,
                task_run_id=me.task_run_id,
                attempt=me.attempt,
            )
        )

    def _clean(self, message: str) -> str:
        """Hide secrets before cutting, so that no half of one is left at the cut."""
        text = self.masker.hide(message)
        if "\x00" in text:
            text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        if len(text) > self._line_bytes // 4:
            data = text.encode("utf-8", "replace")
            if len(data) <= self._line_bytes + MARKER_BYTES:
                return data.decode()
            kept = data[: self._line_bytes].decode("utf-8", "ignore")
            return f"{kept}… [line cut: {len(data) - self._line_bytes:,} bytes more]"
        return text if text.isascii() else text.encode("utf-8", "replace").decode()

    def _limit_notice(self) -> str:
        mib = self._limit_bytes / 1024 / 1024
        return (
            f"the log of this attempt has reached its limit of {mib:g} MiB; "
            f"from here one line in {SAMPLE:,} is kept (write large results to a file and use outputFiles)"
        )


def explain(problem: BaseException) -> str:
    """Return what to show of an exception: its message with its notes; the class too when it is no message of ours."""
    text = str(problem)
    notes = " ".join(getattr(problem, "__notes__", ()))
    if not isinstance(problem, ExpressionError) and not type(problem).__module__.startswith("levada"):
        text = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    return f"{text} ({notes})" if notes else text
