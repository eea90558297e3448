"""How many log lines a second does one indexer write, and what does counting executions cost?

An embedded Postgres in a fresh folder, a bus in it, and first as many lines on the bus as are asked for, then one indexer
process that reads them: the time runs from its first batch to the last line, and is split into its processor time and the
database's. Then one minute with as many executions as a busy server creates in one, counted anew.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from levada.bus.port import LOGS
from levada.model.jobs import LogEntry
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.config.tree import Database, Storage
from levada.runtime.platform import Platform
from levada.store.embedded import EmbeddedPostgres
from levada.store.records import MINUTE_US

LINES_PER_WRITE = 500
EXECUTIONS_PER_MINUTE = 54_000
PATIENCE_S = 300.0

MESSAGE = "2026-07-24 09:00:00,000 INFO loaded 1234 rows of orders into warehouse.orders in 17 ms (part {} of many)"


def entries(clock: SystemClock, first: int, count: int) -> list[LogEntry]:
    now = clock.now_us()
    return [
        LogEntry(
            execution_id=f"execution-{number // LINES_PER_WRITE % 64}",
            namespace="company.team",
            flow_id="load",
            level="INFO",
            message=MESSAGE.format(number),
            at=now + number,
            seq=number % 100,
            task_id="task",
            task_run_id="0352THhdqwyL37irOfgU3y",
            attempt=1,
        )
        for number in range(first, first + count)
    ]


async def produce(platform: Platform, lines: int) -> float:
    began = time.monotonic()
    for first in range(0, lines, LINES_PER_WRITE * 8):
        count = min(LINES_PER_WRITE * 8, lines - first)
        made = entries(platform.clock, first, count)  # type: ignore[arg-type]
        await platform.log_sink.write_logs(made)
    return time.monotonic() - began


async def written(platform: Platform) -> int:
    assert platform.database is not None
    return int(await platform.database.fetchval("SELECT count(*) FROM log"))


async def index(platform: Platform, dsn: str, folder: Path, lines: int) -> None:
    ends = await platform.bus.ends(LOGS)
    env = {**os.environ, "LEVADA_DATABASE_URL": dsn, "LEVADA_MANAGEMENT_PORT": "0"}
    process = subprocess.Popen(  # noqa: ASYNC220  (nothing else runs here meanwhile)
        [sys.executable, "-m", "levada", "serve", "indexer"],
        cwd=folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    began = None
    deadline = time.monotonic() + PATIENCE_S
    while True:
        positions = await platform.index.positions(LOGS)
        now = time.monotonic()
        if began is None and any(positions.values()):
            began, first = now, sum(positions.values())
        if all(positions.get(part, 0) >= end for part, end in ends.items()):
            break
        if now > deadline:
            raise SystemExit(f"only {await written(platform)} of {lines} lines were written in {PATIENCE_S:.0f} s")
        await asyncio.sleep(0.02)
    assert began is not None
    took = time.monotonic() - began
    share = 1 - first / sum(ends.values())
    memory = resident_mib(process.pid)
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = await written(platform)
    print(f"{total} lines written, {total - lines:+d} against what was sent")
    print(f"{lines * share / took:,.0f} lines/s, {took:.2f} s for {lines * share:,.0f} of them")
    print(
        f"indexer: {(used.ru_utime + used.ru_stime) * 1e6 / lines:.1f} µs of processor per line (start included), {memory:.0f} MiB"
    )


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


async def count(platform: Platform, executions: int) -> None:
    """One minute full of executions, counted anew as a busy server does every few seconds."""
    assert platform.database is not None
    minute = platform.clock.now_us() // MINUTE_US * MINUTE_US
    await platform.database.execute(
        "INSERT INTO execution (id, tenant, namespace, flow_id, flow_revision, state, created, ended, seq, head) "
        "SELECT 'e' || n, 'main', 'company.team', 'flow' || n % 10, 1, 'SUCCESS', $1::bigint + n, $1::bigint + n + 5000, 9, "
        "repeat('x', 900) FROM generate_series(1, $2::int) AS n",
        minute,
        executions,
    )
    ids = [f"e{n}" for n in range(1, executions // 12 + 1)]
    for round in range(3):
        began = time.monotonic()
        await platform.counts.mark(ids)
        marked = time.monotonic()
        await platform.counts.recompute(10)
        done = time.monotonic()
        print(
            f"round {round}: {len(ids)} changes marked in {(marked - began) * 1000:.0f} ms, "
            f"a minute of {executions} executions counted in {(done - marked) * 1000:.0f} ms"
        )


async def main(lines: int, executions: int) -> None:
    with tempfile.TemporaryDirectory(prefix="levada-load-") as name:
        folder = Path(name)
        postgres = EmbeddedPostgres(folder / "data")
        dsn = await postgres.start()
        config = Config(
            data_dir=folder,
            database=Database(url=dsn),
            storage=Storage((folder / "storage").as_uri()),
        )
        try:
            platform = await Platform.open(config, SystemClock())
            try:
                print(f"{lines / await produce(platform, lines):,.0f} lines/s put on the bus")
                await index(platform, dsn, folder, lines)
                await count(platform, executions)
            finally:
                await platform.close()
        finally:
            await postgres.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--executions", type=int, default=EXECUTIONS_PER_MINUTE)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.lines, chosen.executions))
