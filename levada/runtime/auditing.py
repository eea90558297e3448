"""Audit records on their way: taken at once, written soon, in batches, in the background.

`add` never waits and never fails, so no request is slower or refused because of its record. While the sink is away records
wait, up to a limit; beyond it the newest are lost, which is said in the log and, once the sink is back, in the audit log
itself: a hole in it is never silent. What has been taken but not written is lost when the process is killed; an orderly
stop writes it (`close`).
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from levada.model.audit import AuditEntry, Outcome
from levada.model.errors import Transient
from levada.runtime import metrics
from levada.runtime.clock import Clock, new_id
from levada.runtime.lifecycle import pause
from levada.runtime.sinks import AuditSink

log = logging.getLogger(__name__)

FLUSH_S = 0.2
BATCH = 1_000
WAITING_MAX = 50_000
RETRY_S = (0.1, 0.3, 1.0, 3.0)
CLOSE_S = 5.0
#: Answers above this are not looked into.
LARGEST_ANSWER = 256 * 1024
#: Who it was that called a webhook: whoever knew its key.
WEBHOOK = "webhook"


class Made(msgspec.Struct, frozen=True, rename="camel"):
    """What an answer says of what was done."""

    id: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    revision: int | None = None
    flow_revision: int | None = None
    count: int | None = None


_decode = msgspec.json.Decoder(Made).decode


def made(body: bytes) -> Made:
    """Return what the JSON of an answer says was done; nothing when it does not say so in a form that is known."""
    if not 0 < len(body) <= LARGEST_ANSWER:
        return Made()
    try:
        return _decode(body)
    except msgspec.MsgspecError:
        return Made()  # a list, or an object of another kind


class AuditTrail:
    """The records of one process. Not thread-safe: everything happens on one event loop."""

    def __init__(self, sink: AuditSink, clock: Clock, *, waiting_max: int = WAITING_MAX) -> None:
        self._sink = sink
        self._clock = clock
        self._waiting_max = waiting_max
        self._waiting: list[AuditEntry] = []
        self._lost = 0
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def add(self, entry: AuditEntry) -> None:
        """Take a record; it is written within a moment."""
        metrics.AUDITED.inc(entry.outcome.value)
        if len(self._waiting) >= self._waiting_max:
            if not self._lost:
                log.error(
                    "%d audit records wait and cannot be written; from now on records are lost", self._waiting_max
                )
            self._lost += 1
            return
        self._waiting.append(entry)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all(), name="audit")

    async def close(self) -> None:
        """Write what waits, within CLOSE_S."""
        self._closing.set()
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=CLOSE_S)
            self._task.cancel()
        if self._waiting:
            log.error("%d audit records could not be written in time and are lost", len(self._waiting))

    async def _write_all(self) -> None:
        """Gather for a moment, then write until nothing waits."""
        await pause(self._closing, FLUSH_S)
        failures = 0
        while self._waiting:
            batch = self._waiting[:BATCH]
            try:
                await self._sink.write_audit(batch)
            except Transient as error:
                failures += 1
                if failures == 2:
                    log.warning("audit records wait: %s", error)
                await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S)) - 1])
            except Exception:
                log.exception("%d audit records were refused and are lost", len(batch))
                del self._waiting[: len(batch)]
                self._tell_of(len(batch))
            else:
                failures = 0
                del self._waiting[: len(batch)]
                if self._lost:
                    lost, self._lost = self._lost, 0
                    self._tell_of(lost)

    def _tell_of(self, lost: int) -> None:
        """Let the audit log say itself that it has a hole."""
        entry = AuditEntry(
            id=new_id(self._clock),
            at=self._clock.now_us(),
            who="levada",
            action="lose",
            kind="audit",
            outcome=Outcome.FAILED,
            status=500,
            details={"lost": lost},
        )
        if len(self._waiting) < self._waiting_max:
            self._waiting.append(entry)
