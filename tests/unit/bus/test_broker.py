"""What of the broker module needs no Kafka: which Java, which settings, which ports, who owns a folder, who ends a process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from levada.bus.broker import (
    BrokerError,
    FolderInUse,
    KafkaCluster,
    Listener,
    NoJava,
    folder,
    java,
    ports,
    probe,
    settings,
)
from levada.bus.broker.folder import Folder
from levada.bus.broker.process import Process
from levada.bus.broker.settings import Place


def program(path: Path, says: str) -> dict[str, str]:
    """Make a `java` that says this, and return the environment in which it is the only one."""
    path.mkdir(exist_ok=True)
    (path / "java").write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    (path / "java").chmod(0o755)
    return {"PATH": str(path)}


@pytest.mark.parametrize(
    ("says", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16 LTS', 25),
        ('java version "1.8.0_402"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Da=b\nopenjdk version "21.0.2"', 21),
        ("The operation couldn’t be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_the_version_of_a_java_is_read(says: str, major: int | None) -> None:
    assert java.parse_major(says) == major


def test_a_java_that_is_too_old_is_named(tmp_path: Path) -> None:
    environ = program(tmp_path / "bin", 'openjdk version "11.0.2"')
    with pytest.raises(NoJava, match=r"bin/java is Java 11.*Install Java 17"):
        java.find(environ)


def test_java_home_goes_before_the_path(tmp_path: Path) -> None:
    environ = program(tmp_path / "path", 'openjdk version "17"')
    program(tmp_path / "bin", 'openjdk version "21"')
    assert java.find({**environ, "JAVA_HOME": str(tmp_path)}).major == 21
    assert java.find({**environ, "JAVA_HOME": str(tmp_path / "nothing")}).major == 17


def test_a_single_broker_keeps_one_copy_and_three_keep_three() -> None:
    places = [Place(node, "127.0.0.1", 1000 + node, 2000 + node) for node in (1, 2, 3)]
    alone = settings.properties(places[0], places[:1], [Listener(port=9)], {})
    assert (alone["default.replication.factor"], alone["min.insync.replicas"]) == ("1", "1")
    together = settings.properties(places[0], places, [Listener(port=9)], {})
    assert (together["default.replication.factor"], together["min.insync.replicas"]) == ("3", "2")
    assert together["controller.quorum.voters"] == "1@127.0.0.1:1001,2@127.0.0.1:1002,3@127.0.0.1:1003"


def test_a_listener_has_its_own_properties_and_an_advertised_address() -> None:
    place = Place(1, "127.0.0.1", 1001, 2001)
    listener = Listener("SASL", "SASL_SSL", 9, "proxy:19", {"sasl.enabled.mechanisms": "PLAIN"})
    values = settings.properties(place, [place], [listener], {"num.io.threads": "7"})
    assert values["listener.name.sasl.sasl.enabled.mechanisms"] == "PLAIN"
    assert "SASL://127.0.0.1:9" in values["listeners"]
    assert values["advertised.listeners"] == "INTERNAL://127.0.0.1:2001,SASL://proxy:19"
    assert values["listener.security.protocol.map"].endswith("SASL:SASL_SSL")
    assert values["num.io.threads"] == "7"


def test_values_of_several_lines_stay_one_property() -> None:
    assert settings.as_file({"key": "a\nb\\c", "name": "ü"}) == "key=a\\nb\\\\c\nname=\\u00fc\n"


def test_ports_are_free_different_and_never_a_clients_own() -> None:
    found = ports.free("127.0.0.1", 20)
    assert len(set(found)) == 20
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(ports.LOWEST <= port < first_outgoing for port in found)
    with socket.create_server(("127.0.0.1", found[0])):
        assert not ports.is_free("127.0.0.1", found[0])


def test_the_brokers_of_a_cluster_know_each_other(tmp_path: Path) -> None:
    cluster = KafkaCluster(tmp_path, advertised=["proxy:1", None, None])
    assert [broker.place.node for broker in cluster.brokers] == [1, 2, 3]
    assert cluster.bootstrap.startswith("proxy:1,127.0.0.1:")
    assert len({broker.port for broker in cluster.brokers}) == 3


async def test_only_a_running_broker_can_be_paused(tmp_path: Path) -> None:
    broker = KafkaCluster(tmp_path).brokers[0]
    with pytest.raises(BrokerError, match="not running"):
        broker.pause()


async def test_nobody_answering_is_no_member() -> None:
    (port,) = ports.free("127.0.0.1", 1)
    assert await probe.members("127.0.0.1", port) == frozenset()


async def test_an_answer_that_is_not_kafkas_is_no_member() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(web, "127.0.0.1", 0)
    async with server:
        assert await probe.members("127.0.0.1", server.sockets[0].getsockname()[1]) == frozenset()


# --- folders


def test_ids_are_never_taken_for_options() -> None:
    assert not any(folder.random_id().startswith("-") for _ in range(500))


def test_a_folder_has_one_owner_who_is_named(tmp_path: Path) -> None:
    owner = Folder(tmp_path)
    owner.acquire()
    owner.acquire()
    with pytest.raises(FolderInUse, match=f"process {os.getpid()}"):
        Folder(tmp_path).acquire()
    owner.release()
    other = Folder(tmp_path)
    other.acquire()
    other.release()


def test_a_formatted_folder_has_the_identity_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"features")
    home = Folder(tmp_path / "broker")
    assert home.cluster_id() is None
    home.format_with(tmp_path / "checkpoint", "a-cluster", 3)
    assert home.formatted
    assert home.cluster_id() == "a-cluster"
    assert (home.data / folder.CHECKPOINT).read_bytes() == b"features"
    home.forget()
    assert not home.formatted


def test_the_log_begins_anew_when_it_is_long(tmp_path: Path) -> None:
    home = Folder(tmp_path)
    home.log.write_bytes(b"x" * (folder.LARGEST_LOG_BYTES + 1))
    home.shorten_log()
    assert home.log_size() == 0
    home.log.write_text("bound to fail")
    assert home.log_since(9) == "fail"


# --- processes


async def test_a_process_is_told_to_end_and_its_code_is_kept(tmp_path: Path) -> None:
    process = Process(["/bin/sh", "-c", "echo here; exec sleep 60"], tmp_path / "log", ())
    assert not await process.ended_within(0.05)
    process.signal(signal.SIGTERM)
    assert await process.ended_within(5)
    assert process.exit_code == -signal.SIGTERM
    assert (tmp_path / "log").read_text() == "here\n"


@pytest.mark.parametrize("ignores", [False, True])
def test_a_process_ends_when_whoever_started_it_is_killed(tmp_path: Path, ignores: bool) -> None:
    child = "trap '' TERM; while :; do sleep 0.1; done" if ignores else "exec sleep 60"
    script = f"""
        import sys, time
        from pathlib import Path
        from levada.bus.broker.process import Process
        process = Process(["/bin/sh", "-c", {child!r}], Path({str(tmp_path / "log")!r}), ())
        print(process.pid, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 15
    while _runs(pid):
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in (b"Z", b"X")
