"""A cluster of processes: it starts, loses one, gets it back, stops in order, and never outlives its launcher."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import aiohttp
import pytest
from installation import marked, wait_until
from product import environment

from levada.cli.cluster import Cluster, Counts
from levada.cli.cluster.balancer import Balancer
from levada.cli.cluster.ports import PortBlock
from levada.cli.failures import BadUsage, CannotStart

SMALL = Counts(executor=1, scheduler=0, worker=1, api=2, webhook=0, indexer=0)


async def status(url: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/v1/main/flows/search") as answer,
    ):
        return answer.status


async def test_a_cluster_loses_an_api_and_its_address_still_answers(tmp_path: Path) -> None:
    async with Cluster(tmp_path, counts=SMALL) as cluster:
        assert await status(cluster.api_url) == 200
        worker = cluster.of("worker")[0]
        assert not any(name.startswith(("LEVADA_DATABASE", "LEVADA_STORAGE")) for name in worker.env)
        await cluster.kill("api-1")
        assert not cluster.processes["api-1"].alive
        assert [await status(cluster.api_url) for _ in range(3)] == [200] * 3
        before = cluster.processes["api-1"].port
        await cluster.restart("api-1")
        assert cluster.processes["api-1"].port == before
        assert len(cluster.api_urls) == 2
        with pytest.raises(BadUsage, match="there are executor-1"):
            await cluster.kill("nobody")
    assert set(cluster.last_exit_codes.values()) == {0}
    assert marked(str(tmp_path)) == []


def test_nothing_survives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import asyncio
        from levada.cli.cluster import Cluster, Counts
        async def main():
            async with Cluster({str(tmp_path)!r}, counts=Counts(1, 0, 0, 1, 0, 0)) as cluster:
                print(*(process.pid for process in cluster.processes.values()), cluster.postgres.pid, flush=True)
                await asyncio.sleep(60)
        asyncio.run(main())
    """)
    launcher = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment())
    assert launcher.stdout is not None
    with launcher, launcher.stdout:
        pids = [int(text) for text in launcher.stdout.readline().split()]
        assert len(pids) == 3
        launcher.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in pids), "every process to be gone", 20)


async def test_a_service_that_cannot_start_says_why_and_nothing_is_left(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, counts=SMALL, service_env={"executor": {"LEVADA_EXECUTOR_BATCH_RECORDS": "many"}})
    with pytest.raises(CannotStart, match="batch_records"):
        await cluster.start()
    assert marked(str(tmp_path)) == []


def test_two_clusters_never_share_a_port() -> None:
    first, second = PortBlock.reserve(7), PortBlock.reserve(7)
    try:
        assert {first.take() for _ in range(20)}.isdisjoint({second.take() for _ in range(20)})
    finally:
        first.close()
        second.close()


async def test_the_balancer_goes_on_to_the_next_when_one_refuses() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(10))
        await writer.drain()
        writer.close()

    block = PortBlock.reserve(11)
    server = await asyncio.start_server(answer, "127.0.0.1", block.take())
    there, nobody = server.sockets[0].getsockname()[1], block.take()
    balancer = Balancer(block.take(), lambda: [nobody, there])
    await balancer.start()
    try:
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", balancer.port)
            writer.write(b"hello")
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()
    finally:
        await balancer.close()
        server.close()
        block.close()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X") and os.path.exists(f"/proc/{pid}")
