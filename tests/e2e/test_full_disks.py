"""A disk that is full: said with the remedy, nothing that was accepted is lost, and all goes on when there is space again.

Each kind of data has a small disk of its own (tmpfs), which only root can mount.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from apart import Apart
from installation import Installation, wait_until

from levada.bus.broker import KafkaBroker
from levada.bus.broker.program import Program

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(120)]

SIZES_MIB = {"data": 224, "wal": 72, "storage": 16, "temp": 16}
FREE_MIB = 4
KAFKA_MIB = 80

PAUSED = """\
id: paused
namespace: company.team
inputs:
  - {id: text, type: STRING}
tasks:
  - {id: wait, type: core.flow.Pause}
"""

FLOWS = (
    """\
id: small
namespace: chaos
tasks:
  - id: say
    type: core.log.Log
    message: hello
""",
    """\
id: storing
namespace: chaos
tasks:
  - id: make
    type: scripts.shell.Commands
    outputFiles: [big]
    commands:
      - head -c 1000000 /dev/zero > big
""",
)


class Disk:
    """A small disk that can be filled to its last byte."""

    def __init__(self, folder: Path, size_mib: int) -> None:
        self.folder = folder
        folder.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0755", "levada-test", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            pytest.skip(f"a small disk can not be mounted here: {made.stderr.strip()}")

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(65536))
            except OSError:
                return

    def empty(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.folder], check=True)


def small_disk(folder: Path, size_mib: int) -> Disk:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    return Disk(folder, size_mib)


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Disk]]:
    folder, made = tmp_path_factory.mktemp("disks"), dict[str, Disk]()
    try:
        for name, size in SIZES_MIB.items():
            made[name] = small_disk(folder / name, size)
        yield made
    finally:
        for disk in made.values():
            disk.close()


@pytest.fixture(scope="module")
def server(disks: dict[str, Disk], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One process with everything of it on a disk of its own, the write-ahead log of its Postgres too."""
    env = {
        "LEVADA_DATA_DIR": str(disks["data"].folder / "levada"),
        "LEVADA_STORAGE_URL": (disks["storage"].folder / "storage").as_uri(),
        "LEVADA_WORKER_TEMP_DIR": str(disks["temp"].folder),
        "LEVADA_WORKER_LEASE": "5",
        "LEVADA_LIMITS_FREE_DISK": f"{FREE_MIB}MiB",
    }
    installation = Installation(tmp_path_factory.mktemp("installation"), env)
    try:
        installation.start()
        for flow in FLOWS:
            installation.deploy(flow)
        assert installation.stop() == 0
        move_wal(postgres_of(disks) / "data" / "pg_wal", disks["wal"].folder / "wal")
        yield installation.start()
    finally:
        installation.close()


def postgres_of(disks: dict[str, Disk]) -> Path:
    return disks["data"].folder / "levada" / "postgres"


def move_wal(wal: Path, to: Path) -> None:
    """Put the log of a stopped Postgres on another disk, as its manual says."""
    subprocess.run(["cp", "-a", wal, to], check=True)
    shutil.rmtree(wal)
    wal.symlink_to(to)


def troubles(server: Installation) -> dict[str, str]:
    """Return what readiness complains of."""
    answer = server.request("GET", "/health/readiness")
    assert (answer.status == 200) == (answer.json()["status"] == "UP")
    found: dict[str, Any] = answer.json()["details"]
    return {name: str(one["details"]) for name, one in found.items() if one["status"] != "UP"}


def until_told(server: Installation, check: str, *words: str) -> None:
    wait_until(lambda: all(word in troubles(server).get(check, "") for word in words), f"{words}", 20, server)


def ready_again(server: Installation, accepted: list[str]) -> None:
    """All is well within seconds, and what was accepted is done."""
    wait_until(lambda: not troubles(server), "readiness", 20, server)
    assert [server.ended(id_)["state"]["current"] for id_ in accepted] == ["SUCCESS"] * len(accepted)


def started(server: Installation, times: int) -> tuple[list[str], list[str]]:
    """Try to start executions; return the ids of those that were accepted, and what the others were told."""
    accepted, refused = list[str](), list[str]()
    for _ in range(times):
        answer = server.api("POST", "/executions/chaos/small")
        if answer.status == 200:
            accepted.append(str(answer.json()["id"]))
        else:
            assert answer.status == 503, answer.text
            refused.append(answer.json()["message"])
    return accepted, refused


@pytest.mark.skipif(os.environ.get("LEVADA_CHAOS") != "long", reason="takes half a minute: LEVADA_CHAOS=long")
async def test_kafka(
    tmp_path_factory: pytest.TempPathFactory, database: str, kafka_program: Program, topic_prefix: str
) -> None:
    """A broker ends itself; what is accepted meanwhile is in Postgres, and on the bus when it is back."""
    folder = tmp_path_factory.mktemp("kafka")
    small = small_disk(folder / "disk", KAFKA_MIB)
    broker = KafkaBroker(small.folder / "broker")
    services = Apart(folder, database, LEVADA_AUTH_MODE="none", LEVADA_KAFKA_REPLICATION_FACTOR="1")
    try:
        await broker.start()
        services.env["LEVADA_KAFKA_BOOTSTRAP_SERVERS"] = broker.bootstrap
        api, executor = services.start("api"), services.start("executor")
        for each in (api, executor):
            await asyncio.to_thread(each.wait_ready)
        await asyncio.to_thread(services.deploy, PAUSED)
        small.fill()
        accepted = [await asyncio.to_thread(paused, services) for _ in range(3)]
        await until(lambda: not broker.running, "the broker to end")
        accepted += [await asyncio.to_thread(paused, services) for _ in range(2)]
        await until(lambda: "nothing listens there" in str(executor.health()["details"]["bus"]), "readiness to tell")
        small.empty()
        await broker.start()
        await asyncio.to_thread(executor.wait_ready)
        await until(lambda: {state(services, id_) for id_ in accepted} == {"PAUSED"}, "all that was accepted")
    finally:
        await asyncio.to_thread(services.close)
        await broker.stop(grace_s=0)
        small.close()


def paused(services: Apart) -> str:
    """Start an execution, with enough to say that the end of a page of the disk is soon reached."""
    form = f'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n{"x" * 20_000}\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    status, body = services.request("POST", "/api/v1/main/executions/company.team/paused", form, headers)
    assert status == 200, body
    return str(body["id"])


def state(services: Apart, id_: str) -> str | None:
    """Return the state of an execution; None while it is accepted and nothing more."""
    status, found = services.request("GET", f"/api/v1/main/executions/{id_}")
    return str(found["state"]["current"]) if status == 200 else None


async def until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what, 40.0)


def test_data(server: Installation, disks: dict[str, Disk]) -> None:
    disks["data"].fill()
    accepted, refused = started(server, 300)
    assert any("Postgres has no space left on its disk; free some" in text for text in refused)
    until_told(server, "database", "no space left on its disk")
    until_told(server, "disk", "the data folder", "is full", "set data_dir to another disk")
    disks["data"].empty()
    ready_again(server, accepted)


def test_write_ahead_log(server: Installation, disks: dict[str, Disk]) -> None:
    """Without space for its log Postgres ends itself; it is started again and again until there is some."""
    accepted, _ = started(server, 1)
    disks["wal"].fill()
    asyncio.run(write_ahead(postgres_of(disks) / "run"))
    until_told(server, "database", "cannot be reached")
    until_told(server, "disk", "Postgres's write-ahead log", "is full")
    disks["wal"].empty()
    ready_again(server, accepted)


async def write_ahead(socket: Path) -> None:
    """Write to the log until Postgres can not."""
    connection = await asyncpg.connect(f"postgresql://postgres@/levada?host={socket}")
    filling = "DO $$ BEGIN FOR n IN 1..200 LOOP PERFORM pg_logical_emit_message(false, '', repeat('x', 1000000)); END LOOP; END $$"
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute(filling)
    connection.terminate()


def test_storage(server: Installation, disks: dict[str, Disk]) -> None:
    disks["storage"].fill()
    until_told(server, "disk", "internal storage", "is full", "set storage.url to another disk")
    failed = server.ended(server.begin("chaos.storing"))
    assert failed["state"]["current"] == "FAILED"
    assert any("has no space left" in line and "free some there" in line for line in server.logs(failed["id"]))
    disks["storage"].empty()
    ready_again(server, [server.begin("chaos.storing")])


def test_working_directories(server: Installation, disks: dict[str, Disk]) -> None:
    """Work waits, or goes to other workers, instead of failing here."""
    told = len(server.log)
    disks["temp"].fill()
    until_told(server, "worker-disk", "working directories", "is full", "set worker.temp_dir to another disk")
    wait_until(lambda: "nothing is claimed for want of space" in server.log[told:], "the worker to pause", 15, server)
    waiting = server.begin("chaos.storing")
    wait_until(lambda: server.state(waiting) == "RUNNING", "the execution to wait for a worker", 15, server)
    disks["temp"].empty()
    ready_again(server, [waiting])
