"""What the harness writes down by itself, independent of the code under test.

    Ack     what a client was told with 2xx: from that moment on no fault may lose it
    Run     one run of one attempt of a task, as the task itself wrote it into the ledger
    Fault   what the harness did to whom, and when: the only excuse for a task that ran twice

Times are epoch seconds of this machine. The ledger is a text file that tasks append single lines to, which the kernel
does in one piece; `LEDGER_BEGIN` and `LEDGER_END` are the shell lines that do it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

LEDGER_BEGIN = (
    "t=$(date +%s%N); nonce=$$-$t; "
    "me='{{ execution.id }} {{ taskrun.id }} {{ taskrun.attemptsCount }} {{ flow.id }}/{{ task.id }}'; "
    'echo "began $t $nonce $me" >> LEDGER'
)
"""The first line of a task. `LEDGER` is replaced by the quoted path."""

LEDGER_END = 'echo "ended $(date +%s%N) $nonce $me" >> LEDGER; echo \'::{"outputs":{"nonce":"\'$nonce\'"}}::\''
LEDGER_FAIL = 'echo "failed $(date +%s%N) $nonce $me" >> LEDGER; exit 1'


@dataclass(frozen=True)
class Ack:
    """`kind` is start, webhook, resume, kill or label. `key` is the webhook's idempotency key, `number` the label's value."""

    kind: str
    at: float
    execution_id: str
    flow: str = ""
    key: str = ""
    number: int = 0


@dataclass
class Run:
    """`attempt` counts from 1; `ended` is None when nobody wrote an end."""

    execution_id: str
    task_run_id: str
    attempt: int
    task: str
    nonce: str
    began: float
    ended: float | None = None
    failed: bool = False

    @property
    def flow(self) -> str:
        return self.task.partition("/")[0]


@dataclass
class Fault:
    """`kind` is kill, freeze, term, postgres, broker, network, disk, failpoint or poison; `until` when it was undone.

    `target` is the name of a process of the fleet, or what else was hit. `moment` says what it is an excuse for: see histcheck.
    """

    kind: str
    target: str
    at: float
    until: float


@dataclass
class FaultLog:
    """Every fault of a run, in the order of their beginnings."""

    faults: list[Fault] = field(default_factory=list)

    def begin(self, kind: str, target: str) -> Fault:
        """Write down that a fault begins now; it lasts until `end`."""
        fault = Fault(kind, target, time.time(), float("inf"))
        self.faults.append(fault)
        return fault

    def end(self, fault: Fault) -> None:
        fault.until = time.time()

    def count(self, kind: str) -> int:
        return sum(fault.kind == kind for fault in self.faults)


def read_ledger(path: Path) -> tuple[list[Run], list[str]]:
    """Return the runs in order of their beginnings, and lines that nobody can have written."""
    runs: dict[str, Run] = {}
    strange = []
    for line in path.read_text().splitlines() if path.exists() else []:
        words = line.split(" ")
        if len(words) != 7 or words[0] not in ("began", "ended", "failed"):
            strange.append(f"the ledger has the line {line!r}")
            continue
        what, at, nonce, execution_id, task_run_id, before, task = words
        if what == "began":
            runs[nonce] = Run(execution_id, task_run_id, int(before) + 1, task, nonce, int(at) / 1e9)
        elif nonce not in runs or runs[nonce].ended is not None:
            strange.append(f"a run ended that is not under way: {line!r}")
        else:
            runs[nonce].ended, runs[nonce].failed = int(at) / 1e9, what == "failed"
    return list(runs.values()), strange


def save(path: Path, acks: Iterable[Ack], faults: Iterable[Fault]) -> None:
    """Keep what the harness saw, so that a failure can be looked at later."""
    with path.open("w") as out:
        for kind, records in (("ack", acks), ("fault", faults)):
            for record in records:
                out.write(json.dumps({"record": kind, **asdict(record)}) + "\n")
