"""`--kafka`: everything in one process, over a Kafka that it brings along."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from installation import marked
from product import eventually, levada

from levada.bus.broker.program import Program

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(240)]

HELLO = """\
id: hello
namespace: e2e
tasks:
  - id: say
    type: core.log.Log
    message: hello
"""


def broker_of(folder: Path) -> list[int]:
    """Return the Java processes that run on this folder."""
    return [pid for pid in marked(f"{folder}/.levada/kafka/server.properties") if "java" in _program(pid)]


def _program(pid: int) -> str:
    """Return the program of a process; nothing when it has ended since it was listed."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_it_runs_over_kafka_which_comes_and_goes_with_it(start, tmp_path: Path, kafka_program: Program) -> None:
    (tmp_path / "hello.yml").write_text(HELLO)
    server = start("dev", "--port", "0", "--kafka")
    server.wait_for("Kafka at 127.0.0.1:")
    assert levada("run", "hello.yml", cwd=tmp_path)[0] == 0
    (broker,) = broker_of(tmp_path)
    os.kill(broker, signal.SIGKILL)
    server.wait_for("Kafka died; starting it again")
    eventually(lambda: broker_of(tmp_path) not in ([], [broker]))
    assert levada("run", "hello.yml", cwd=tmp_path)[0] == 0
    assert server.end() == 0, server.lines
    assert broker_of(tmp_path) == []


def test_a_broker_never_outlives_the_server(start, tmp_path: Path, kafka_program: Program) -> None:
    server = start("standalone", "--port", "0", "--kafka")
    server.wait_for("Ctrl-C stops it")
    assert len(broker_of(tmp_path)) == 1
    server.end(signal.SIGKILL)
    eventually(lambda: broker_of(tmp_path) == [], 20)
    again = start("standalone", "--port", "0", "--kafka")
    again.wait_for("Ctrl-C stops it")
    assert again.end() == 0


def test_without_java_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "programs").mkdir()
    bare = {"PATH": str(tmp_path / "programs"), "JAVA_HOME": ""}
    code, _, err = levada("dev", "--port", "0", "--kafka", cwd=tmp_path, env=bare)
    assert code == 3
    assert "no Java 17 or newer" in err
    assert "JAVA_HOME" in err


def test_without_jars_it_names_every_way_to_get_them(tmp_path: Path, kafka_program: Program) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "java").symlink_to(kafka_program.java.program)
    bare = {"PATH": str(tmp_path / "programs"), "JAVA_HOME": "", "LEVADA_KAFKA_CACHE": str(tmp_path / "cache")}
    code, _, err = levada("dev", "--port", "0", "--kafka", cwd=tmp_path, env={**bare, "MAVEN_REPO_URL": ""})
    assert code == 3
    for way in ("MAVEN_REPO_URL", "mvn", "LEVADA_KAFKA_LIBS", "LEVADA_KAFKA_CACHE", "kafka.bootstrap_servers"):
        assert way in err


def test_two_kafkas_are_one_too_many(tmp_path: Path) -> None:
    env = {"LEVADA_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    code, _, err = levada("dev", "--port", "0", "--kafka", cwd=tmp_path, env=env)
    assert code == 2
    assert "LEVADA_KAFKA_BOOTSTRAP_SERVERS" in err
