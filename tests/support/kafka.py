"""Fixtures that give a test a real Kafka: the broker module of the product, run for tests.

`kafka` is one plain broker that the whole run shares, xdist's workers included (kept by a process of its own, like the test
Postgres); `topic_prefix` is what a test puts before its topics there. A test that kills, wipes or configures its broker asks
`make_kafka` for one of its own (or `make_kafka_cluster` for three, or more) and has it stopped at its end. `secure_kafka` is
one for the run with passwords and certificates.

Without Java or Kafka's jars these tests are skipped with the reason; LEVADA_REQUIRE_KAFKA=1 makes that a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certificates
import postgres
import pytest

from levada.bus.broker import KafkaBroker, KafkaCluster, Listener, NoJava, NoKafka, Setup
from levada.bus.broker.program import Program

REQUIRED = "LEVADA_REQUIRE_KAFKA"
START_TIMEOUT_S = 120.0

USER, PASSWORD = "levada", "levada-secret"
"""Who may sign in at `secure_kafka`, by every mechanism."""


@dataclass(frozen=True)
class Kafka:
    """The shared broker: only what every test may rely on."""

    bootstrap: str


@dataclass(frozen=True)
class SecureKafka:
    """A broker with listeners SASL (passwords, no encryption), TLS, MUTUAL (asks for a certificate) and SASLTLS.

    `authority`, `certificate` and `key` are PEM files: who signs, and a client's own.
    """

    broker: KafkaBroker
    authority: Path
    certificate: Path
    key: Path

    def address(self, listener: str) -> str:
        return self.broker.address(listener)


MakeKafka = Callable[..., Awaitable[KafkaBroker]]
MakeKafkaCluster = Callable[..., Awaitable[KafkaCluster]]


@pytest.fixture(scope="session")
def kafka_program() -> Program:
    """What runs brokers here; fetches the jars the first time."""
    try:
        return asyncio.run(Program.find(Setup().sources, logging.getLogger(__name__).warning))
    except (NoJava, NoKafka) as error:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, but {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kafka(kafka_program: Program) -> Kafka:
    """The run's shared broker."""
    external = os.environ.get("TEST_KAFKA_BOOTSTRAP")
    return Kafka(external or _shared(Path(os.environ[postgres.FOLDER_VARIABLE]) / "kafka"))


@pytest.fixture
def topic_prefix() -> str:
    """What makes this test's topics its own."""
    return f"t{uuid.uuid4().hex[:12]}."


@pytest.fixture
async def make_kafka(kafka_program: Program, tmp_path: Path) -> AsyncIterator[MakeKafka]:
    """Make and start brokers of this test's own; arguments are those of KafkaBroker after the folder."""
    made: list[KafkaBroker] = []

    async def make(setup: Setup | None = None, **options: Any) -> KafkaBroker:
        made.append(KafkaBroker(tmp_path / f"kafka-{len(made)}", setup, **options))
        await made[-1].start()
        return made[-1]

    yield make
    await asyncio.gather(*(broker.stop(grace_s=0) for broker in made))


@pytest.fixture
async def make_kafka_cluster(kafka_program: Program, tmp_path: Path) -> AsyncIterator[MakeKafkaCluster]:
    """Make and start clusters of this test's own; arguments are those of KafkaCluster after the folder."""
    made: list[KafkaCluster] = []

    async def make(setup: Setup | None = None, **options: Any) -> KafkaCluster:
        made.append(KafkaCluster(tmp_path / f"kafka-cluster-{len(made)}", setup, **options))
        await made[-1].start()
        return made[-1]

    yield make
    await asyncio.gather(*(cluster.stop(grace_s=0) for cluster in made))


@pytest.fixture(scope="session")
def secure_kafka(kafka_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A broker that asks who is there, by password and by certificate."""
    folder = tmp_path_factory.mktemp("secure-kafka")
    authority, server, client = certificates.make(folder)
    setup = Setup(listeners=secure_listeners(authority, server), users={USER: PASSWORD})
    broker = KafkaBroker(folder / "broker", setup)
    asyncio.run(broker.start())
    yield SecureKafka(broker, authority, client.certificate, client.key)
    asyncio.run(broker.stop(grace_s=0))


def secure_listeners(authority: Path, server: certificates.Pair) -> tuple[Listener, ...]:
    """Return listeners with every way to sign in; CLIENT stays plain."""
    tls = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": server.certificate.read_text(),
        "ssl.keystore.key": server.key.read_text(),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": authority.read_text(),
    }
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    sasl = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "plain.sasl.jaas.config": plain,
        "scram-sha-256.sasl.jaas.config": scram,
        "scram-sha-512.sasl.jaas.config": scram,
    }
    return (
        Listener(),
        Listener("SASL", "SASL_PLAINTEXT", properties=sasl),
        Listener("TLS", "SSL", properties=tls),
        Listener("MUTUAL", "SSL", properties={**tls, "ssl.client.auth": "required"}),
        Listener("SASLTLS", "SASL_SSL", properties={**tls, **sasl}),
    )


# --- the shared broker


def pytest_unconfigure() -> None:
    """Stop the keeper when the run that started it ends; the folder is the test Postgres's, and goes with it."""
    folder = Path(os.environ.get(postgres.FOLDER_VARIABLE, "nothing")) / "kafka"
    if not folder.parent.name.endswith(f"-{os.getpid()}"):
        return  # a worker of xdist
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((folder / "keeper.pid").read_text()), signal.SIGTERM)
        _wait_until(lambda: not (folder / "keeper.pid").exists(), "the test broker's keeper did not end")


def _shared(folder: Path) -> str:
    """Return the address of the run's broker, starting its keeper if nobody has."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        address, run_pid = folder / "bootstrap", folder.parent.name.rpartition("-")[2]
        if not address.exists():
            with (folder / "keeper.log").open("wb") as output:
                keeper = subprocess.Popen(
                    [sys.executable, __file__, str(folder), run_pid],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
                )
            _wait_until(lambda: address.exists() or keeper.poll() is not None, "the test broker did not start")
            if not address.exists():
                raise RuntimeError(f"the test broker did not start: {(folder / 'keeper.log').read_text()}")
            keeper.returncode = 0  # it outlives this process on purpose; Popen would warn
        return address.read_text()


def _wait_until(condition: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(message)
        time.sleep(0.02)


async def _keep(folder: Path, run_pid: int) -> None:
    """Run the broker until the test run tells us to stop, or is gone."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pid_file = folder / "keeper.pid"
    pid_file.write_text(str(os.getpid()))
    try:
        async with KafkaBroker(folder / "broker") as broker:
            (folder / "bootstrap.new").write_text(broker.bootstrap)
            (folder / "bootstrap.new").rename(folder / "bootstrap")
            while not stop.is_set() and _alive(run_pid):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 1.0)
    finally:
        shutil.rmtree(folder / "broker", ignore_errors=True)
        pid_file.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(_keep(Path(sys.argv[1]), int(sys.argv[2])))
