"""The bytes of log lines, metrics and audit records on the bus, as releases have written them: they must be read for ever.

`entries.jsonl` holds one record's body per line and topic. A shape that an indexer of this release can no longer read, or
that says something else now, fails here; lines are added and never removed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from levada.model.audit import AuditEntry, Outcome
from levada.model.jobs import LogEntry, MetricEntry
from levada.runtime import sinks

FILE = Path(__file__).parent / "entries.jsonl"
AT = 1_700_000_000_000_000
PLACE = {"execution_id": "0352THhdqwyL37irOfgU3y", "namespace": "company.team", "flow_id": "flow"}
RUN = {"task_id": "task", "task_run_id": "1FTaK2ekCCzUOm6OuHmgSk"}

ENTRIES: dict[str, list[Any]] = {
    "logs": [
        LogEntry(**PLACE, level="INFO", message="short", at=AT),
        LogEntry(
            **PLACE,
            **RUN,
            level="ERROR",
            message='full "line" ü',
            at=AT,
            tenant="other",
            seq=3,
            attempt=2,
            trigger_id="t",
            thread="main",
        ),
    ],
    "metrics": [
        MetricEntry(**PLACE, **RUN, name="rows", kind="counter", value=3.5, at=AT),
        MetricEntry(**PLACE, **RUN, name="took", kind="timer", value=12, at=AT, tenant="other", tags={"a": "b"}),
    ],
    "audit": [
        AuditEntry(id="0352THhdqwyL37irOfgU3y", at=AT, who="ada", action="update", kind="flow", outcome=Outcome.DONE),
        AuditEntry(
            id="0352THhdqwyL37irOfgU3z",
            at=AT,
            who="eve",
            action="delete",
            kind="execution",
            outcome=Outcome.DENIED,
            tenant="other",
            object="x",
            namespace="company",
            status=403,
            details={"route": "DELETE /x", "count": 2},
            request_id="r",
            remote="::1",
        ),
    ],
}
DECODERS = {"logs": sinks.decode_logs, "metrics": sinks.decode_metrics, "audit": sinks.decode_audit}


@pytest.mark.parametrize("line", FILE.read_text().splitlines(), ids=lambda line: line[:30])
def test_what_was_written_is_read(line: str) -> None:
    topic, _, body = line.partition(" ")
    assert DECODERS[topic](body) == ENTRIES[topic]


@pytest.mark.parametrize("topic", sorted(ENTRIES))
def test_what_is_written_now_is_on_file(topic: str) -> None:
    assert f"{topic} {msgspec.json.encode(ENTRIES[topic]).decode()}" in FILE.read_text().splitlines()


def test_what_a_newer_release_adds_is_passed_over() -> None:
    (entry,) = sinks.decode_logs(
        b'[{"execution_id":"e","namespace":"n","flow_id":"f","level":"INFO","message":"m","at":1,"colour":"red"}]'
    )
    assert entry.message == "m"
