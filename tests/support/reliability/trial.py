"""One trial: flows are deployed, clients start them, a harness does its worst, everything comes to rest, the oracle judges.

    async with Trial(fleet, folder, seed=7) as trial:
        …                                 # load is on; do harm through trial.fleet, and write it into trial.faults
        await trial.calm()                # whoever is down is started, the load ends, all must come to rest
    trial.violations, trial.figures

The harness's own evidence (acknowledgements, faults, ledger) is kept in the folder.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from reliability import history, records, workload
from reliability.fleet import CANARY, Fleet
from reliability.histcheck import Violation, check
from reliability.history import History, Ticks
from reliability.load import Load
from reliability.records import Fault, FaultLog
from reliability.report import percentile

READY_S = 90.0
REST_S = 120.0
DEPLOY_S = 30.0
CATCH_UP_S = 20.0
FIRST_TICK_S = 5
"""How long after its flow was accepted a schedule may fire for the first time."""


class Trial:
    def __init__(
        self, fleet: Fleet, folder: Path, *, seed: int, rate: float = 20.0, flows: Sequence[str] | None = None
    ) -> None:
        self.fleet, self.seed = fleet, seed
        self.folder = folder
        self.ledger = folder / "ledger"
        self.faults = FaultLog()
        self.violations: list[Violation] = []
        self.figures: dict[str, Any] = {}
        self.history = History()
        self._rate = rate
        self._flows = list(flows) if flows is not None else workload.names(*fleet.can)
        self._ticks: list[Ticks] = []

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        await self.fleet.__aenter__()
        try:
            await self._deploy()
        except BaseException:
            await self.fleet.__aexit__()
            raise
        self.load = Load(self.fleet.urls, self._rate, self.seed, self._flows, self.fleet.webhooks)
        self.load.__enter__()
        self._begun = time.monotonic()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            await asyncio.to_thread(self.load.stop)
        finally:
            await self.fleet.__aexit__(kind, error, trace)
        records.save(self.folder / "seen.jsonl", self.load.acks, self.faults.faults)
        if error is None:
            if self.load.broken is not None:
                raise self.load.broken
            self._judge()

    # -- flows -----------------------------------------------------------------------------------------------------
    async def _deploy(self) -> None:
        for name in dict.fromkeys(["quick", *self._flows]):
            await self.put(workload.source(workload.FLOWS[name], self.ledger))
            if name == "ticking":
                # From the moment that a scheduler knows of it.
                ticks = Ticks(name, 1, int(time.time()) + FIRST_TICK_S, 0)
                self._ticks.append(ticks)
                await self._next_slot(ticks, lambda slot: slot is not None)

    async def put(self, source: str) -> None:
        """Deploy a flow file; the servers may be busy coming up."""
        headers, deadline = {"Content-Type": "application/x-yaml"}, time.monotonic() + DEPLOY_S
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    url = f"{self.fleet.urls[0]}/api/v1/main/flows/bulk?delete=false"
                    async with session.post(url, data=source, headers=headers) as answer:
                        if answer.ok:
                            return
                        text = f"{answer.status} {await answer.text()}"
                except aiohttp.ClientError as error:
                    text = repr(error)
                assert time.monotonic() < deadline, f"cannot deploy: {text}"
                await asyncio.sleep(0.3)

    # -- the quiet after the storm -----------------------------------------------------------------------------------
    async def calm(self) -> None:
        """Start what is down, end the load, wait until nothing is left to do, and read everything that the oracle needs."""
        for fault in self.faults.faults:
            if fault.until == float("inf"):
                fault.until = time.time()
        await self._all_up()
        seconds = time.monotonic() - self._begun
        await asyncio.to_thread(self.load.stop)
        for ticks in self._ticks:
            await self._caught_up(ticks)
            ticks.until = int(time.time())
            await self.put(workload.source(workload.FLOWS[ticks.flow], self.ledger) + "disabled: true\n")
            await self._next_slot(ticks, lambda slot: slot is None)  # the scheduler looks at flows once a second
        calmed = time.monotonic()
        await self._resume_orphans()
        left = await self._rest()
        self.figures |= {
            "seconds": seconds,
            "acknowledged": len(self.load.started),
            "acknowledged per second": len(self.load.started) / seconds,
            "drained in seconds": time.monotonic() - calmed,
        }
        if left is not None:
            self.violations.append(Violation("I1", "", f"{REST_S:.0f} s after the last fault: {left}"))
        await asyncio.to_thread(self._collect)
        await self._look_from_outside()

    async def _caught_up(self, ticks: Ticks) -> None:
        """Wait until the schedule has fired what it missed: once it is disabled it fires nothing, late dates neither."""
        await self._next_slot(ticks, lambda slot: slot is not None and slot * history.MICRO > time.time() - 0.5)

    async def _next_slot(self, ticks: Ticks, wanted: Callable[[int | None], bool]) -> None:
        """Wait for the schedule's next date to be as it should, or for as long as it may take."""
        deadline, sql = time.monotonic() + CATCH_UP_S, "SELECT next_slot FROM trigger_state WHERE flow_id = $1"
        while time.monotonic() < deadline:
            rows = await asyncio.to_thread(history.fetch, self.fleet.dsn, sql, ticks.flow)
            if rows and wanted(rows[0][0]):
                return
            await asyncio.sleep(0.1)

    async def _all_up(self) -> None:
        for name in self.fleet.names():
            if not self.fleet.alive(name):
                await self.fleet.start(name)
        await self.fleet.until_ready(READY_S)

    async def _resume_orphans(self) -> None:
        """Resume what waits for a person whom nobody told that it exists: the answer to its start was lost."""
        known = {ack.execution_id for ack in self.load.acks}
        rows = await asyncio.to_thread(
            history.fetch, self.fleet.dsn, "SELECT id FROM execution WHERE flow_id = 'pausing' AND ended IS NULL"
        )
        orphans = [str(id_) for (id_,) in rows if id_ not in known]
        deadline = time.monotonic() + DEPLOY_S
        async with aiohttp.ClientSession(self.fleet.urls[0]) as session:
            while orphans and time.monotonic() < deadline:
                for id_ in list(orphans):
                    async with session.post(f"/api/v1/main/executions/{id_}/resume") as answer:
                        if answer.ok:
                            orphans.remove(id_)
                await asyncio.sleep(0.3)

    async def _rest(self) -> str | None:
        """Return None when all came to rest, else what did not."""
        deadline, left = time.monotonic() + REST_S, None
        while time.monotonic() < deadline:
            left = await asyncio.to_thread(history.settled, self.fleet.dsn, self.load.started)
            if left is None:
                return None
            await asyncio.sleep(0.3)
        return left

    def _collect(self) -> None:
        runs, strange = records.read_ledger(self.ledger)
        self.history = History(
            acks=self.load.acks,
            runs=runs,
            faults=self.faults.faults,
            tables=history.read(self.fleet.dsn),
            ticks=self._ticks,
            workers=self.fleet.workers(),
            patience_s=self.fleet.lease_s * 2 + 5.0,
            strange=strange,
        )

    async def _look_from_outside(self) -> None:
        outside = self.history.outside
        outside.leaks = [
            *await asyncio.to_thread(_leaks_in_tables, self.fleet.dsn),
            *_leaks_in_files(self.fleet.folders()),
        ]
        executions = self.history.tables.executions.values()
        async with aiohttp.ClientSession(self.fleet.urls[0]) as session:
            for state in sorted({stored.state for stored in executions}):
                path = f"/api/v1/main/executions/search?size=1&state={state}"
                async with session.get(path) as answer:
                    shown = (await answer.json())["total"] if answer.ok else -1
                outside.counts[f"executions {state}"] = (shown, sum(stored.state == state for stored in executions))

    # -- the verdict -------------------------------------------------------------------------------------------------
    def _judge(self) -> None:
        self.history.outside.leftovers = _processes_in(self.fleet.folders())
        self.violations += check(self.history)
        self.violations += [Violation("I1", "", f"a right request was refused: {text}") for text in self.load.refused]
        runs, recoveries = self.history.runs, recoveries_s(self.history, alone=len(self.fleet.names()) == 1)
        self.figures |= {
            "executions": len(self.history.tables.executions),
            "lost": sum(violation.invariant == "I1" for violation in self.violations),
            "doubled": sum(violation.invariant in ("I3", "I4", "I11") for violation in self.violations),
            "task runs in the ledger": len(runs),
            "runs again after a loss": sum(run.attempt > 1 for run in runs) - sum(run.failed for run in runs),
            "recoveries of lost attempts": len(recoveries),
            "recovery p95, s": percentile(recoveries, 95),
            "acknowledgement p50, ms": _milli(percentile(self.load.waits_s, 50)),
            "acknowledgement p99, ms": _milli(percentile(self.load.waits_s, 99)),
            "requests without an answer": sum(self.load.troubles.values()),
        }


def _milli(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def recoveries_s(history_: History, *, alone: bool = False) -> list[float]:
    """Return, for every attempt that was lost, how long after the fault that took it the next attempt was at work.

    Where one process is everything (`alone`), a later kill takes down those who were about to go on as well: then the last
    one before the next attempt counts.
    """
    found = []
    for stored in history_.tables.executions.values():
        starts: dict[tuple[str, int], float] = {}
        lost: list[tuple[str, int, float]] = []
        for event in stored.events:
            key = (event.get("id", ""), event.get("attempt", 0))
            if event["type"] == "task_run.started":
                starts[key] = event["at"] * history.MICRO
            elif event["type"] == "task_run.resubmitted":
                lost.append((*key, event["at"] * history.MICRO))
        for task_run_id, number, at in lost:
            after = starts.get((task_run_id, number + 1))
            begun = starts.get((task_run_id, number), at)
            fault = _last_fault(history_.faults, begun, after if alone and after is not None else at)
            if after is not None and fault is not None:
                found.append(after - max(fault.at, begun))
    return found


def _last_fault(faults: list[Fault], begun: float, at: float) -> Fault | None:
    touching = [fault for fault in faults if fault.at <= at and fault.until >= begun]
    return max(touching, key=lambda fault: fault.at, default=None)


# --- secrets and orphans


def _spellings() -> list[str]:
    raw = CANARY.encode()
    return [CANARY, base64.b64encode(raw).decode(), raw.hex(), quote(CANARY, safe="")]


def _leaks_in_files(folders: Sequence[Path]) -> list[str]:
    """Search logs, storage and working directories; the database's own files hold what the tables hold."""
    wanted = [text.encode() for text in _spellings()]
    return [str(path) for path in _files(folders) if any(text in path.read_bytes() for text in wanted)]


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and not {"postgres", "kafka", "brokers"} & set(path.parts):
                yield path


def _leaks_in_tables(dsn: str) -> list[str]:
    tables = history.fetch(
        dsn, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    found = []
    for (table,) in tables:
        # Bytes are shown as hexadecimal digits, which is one of the spellings.
        where = " OR ".join(f"position(${n + 1} IN x::text) > 0" for n in range(len(_spellings())))
        (count,) = history.fetch(dsn, f'SELECT count(*) FROM "{table}" x WHERE {where}', *_spellings())[0]
        if count:
            found.append(f"{count} rows of the table {table}")
    return found


def _processes_in(folders: Sequence[Path]) -> list[str]:
    """Return the living processes that work in these folders: after the end of a fleet there are none."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place, line = (process / "cwd").resolve(), (process / "cmdline").read_bytes().replace(b"\0", b" ")
            state = (process / "stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if state not in (b"Z", b"X") and any(place.is_relative_to(folder.resolve()) for folder in folders):
            found.append(f"process {process.name} is left: {line.decode(errors='replace')[:200]}")
    return found
