"""Where Kafka's jars come from, over two small files that play the jars."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from levada.bus.broker import NoKafka, Sources, jars
from levada.bus.broker.jars import Cancelled, Jar

CONTENTS = {"kafka_2.13": b"the broker" * 1000, "slf4j-api": b"its log" * 1000}
JARS = [Jar(f"org.{name[:5]}", name, "1.0", hashlib.sha256(data).hexdigest()) for name, data in CONTENTS.items()]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; `server.asked` is what was asked for, `server.broken` how often it fails first."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.broken > 0:
            self.server.broken -= 1
            self.send_error(503)
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # so that closing it waits for them


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    """A Maven repository with the two jars, which are all that the lock file names."""
    monkeypatch.setattr(jars, "locked", lambda: list(JARS))
    folder = tmp_path / "repository"
    for jar in JARS:
        target = folder / jar.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(CONTENTS[jar.artifact])
    handler = functools.partial(Handler, directory=str(folder))
    with Server(("127.0.0.1", 0), handler) as server:
        server.asked, server.broken, server.folder = [], 0, folder
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def sources(tmp_path: Path, repository: http.server.ThreadingHTTPServer) -> Sources:
    return Sources(cache=tmp_path / "cache", repository=f"http://127.0.0.1:{repository.server_address[1]}/")


def test_the_lock_file_names_every_jar_once_with_its_hash() -> None:
    found = jars.locked()
    assert len(found) == 45
    assert len({jar.name for jar in found}) == 45
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in found)
    kafka = next(jar for jar in found if jar.artifact == "kafka_2.13")
    assert kafka.path == f"org/apache/kafka/kafka_2.13/{jars.KAFKA}/kafka_2.13-{jars.KAFKA}.jar"


def test_jars_are_fetched_once_and_said_so(sources: Sources, repository) -> None:
    told: list[str] = []
    library = jars.obtain(sources, told.append)
    assert [path.read_bytes() for path in library.jars] == list(CONTENTS.values())
    assert told == ["fetching Kafka 4.4.0, 43 MB, once"]
    assert jars.obtain(sources, told.append) == library
    assert len(told) == 1
    assert len(repository.asked) == 2


def test_a_damaged_jar_is_fetched_again(sources: Sources, repository) -> None:
    library = jars.obtain(sources)
    library.jars[0].write_bytes(b"half of i")
    repository.asked.clear()
    assert jars.obtain(sources).jars[0].read_bytes() == CONTENTS["kafka_2.13"]
    assert repository.asked == [f"/{JARS[0].path}"]


def test_another_file_than_the_locked_one_is_refused(sources: Sources, repository) -> None:
    (repository.folder / JARS[1].path).write_bytes(b"something else")
    with pytest.raises(NoKafka, match=r"slf4j-api-1\.0\.jar .* is not the file that Levada was tested with"):
        jars.obtain(sources)
    assert not (sources.cache / JARS[1].name).exists()
    assert list(sources.cache.glob("*.part")) == []


def test_a_repository_that_stumbles_is_asked_again(sources: Sources, repository) -> None:
    repository.broken = 1
    jars.obtain(sources)
    assert len(repository.asked) == 3


def test_a_repository_without_the_jar_is_named(sources: Sources, repository) -> None:
    (repository.folder / JARS[0].path).unlink()
    with pytest.raises(NoKafka, match=rf"cannot fetch http://127.*{JARS[0].name}: .*404"):
        jars.obtain(sources)


def test_a_given_folder_is_taken_as_it_is(tmp_path: Path, sources: Sources) -> None:
    libs = tmp_path / "libs"
    libs.mkdir()
    with pytest.raises(NoKafka, match=r"holds no kafka_2\.13"):
        jars.obtain(Sources(libs=libs))
    (libs / "kafka_2.13-3.9.2.jar").write_bytes(b"")
    assert jars.obtain(Sources(libs=libs)).jars == (libs / "kafka_2.13-3.9.2.jar",)
    assert jars.obtain(Sources(libs=libs)).derived is None


def test_who_stops_waiting_stops_the_fetch(sources: Sources) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        jars.obtain(sources, cancelled=cancelled)
    assert len(jars.obtain(sources).jars) == 2


def maven(tmp_path: Path, script: str) -> str:
    program = tmp_path / "mvn"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_maven_brings_the_jars_where_no_repository_is_named(tmp_path: Path, repository) -> None:
    copies = " ".join(str(repository.folder / jar.path) for jar in JARS)
    program = maven(tmp_path, f"grep -q kafka_2.13 pom.xml && mkdir libs && cp {copies} libs")
    told: list[str] = []
    library = jars.obtain(Sources(cache=tmp_path / "cache", maven=program), told.append)
    assert [path.read_bytes() for path in library.jars] == list(CONTENTS.values())
    assert told == ["fetching Kafka 4.4.0 with Maven, 43 MB, once"]
    assert [path.name for path in library.derived.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo no such mirror >&2; exit 1", "exit code 1: no such mirror"),
        ("exit 0", "did not bring kafka_2.13-1.0.jar"),
    ],
)
def test_a_maven_that_fails_is_quoted(tmp_path: Path, repository, script: str, reason: str) -> None:
    with pytest.raises(NoKafka, match=reason) as raised:
        jars.obtain(Sources(cache=tmp_path / "cache", maven=maven(tmp_path, script)))
    assert "MAVEN_REPO_URL" in str(raised.value)


def test_without_any_way_all_ways_are_named(tmp_path: Path, repository) -> None:
    with pytest.raises(NoKafka) as raised:
        jars.obtain(Sources(cache=tmp_path / "cache"))
    for way in ("MAVEN_REPO_URL", "mvn", "LEVADA_KAFKA_LIBS", "LEVADA_KAFKA_CACHE", "kafka.bootstrap_servers"):
        assert way in str(raised.value)


def test_a_cache_that_cannot_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NoKafka, match="LEVADA_KAFKA_CACHE"):
        jars.obtain(Sources(cache=tmp_path / "file" / "cache"))


def test_the_environment_says_where_to_look(tmp_path: Path) -> None:
    found = Sources.from_environment(
        {"LEVADA_KAFKA_LIBS": "libs", "LEVADA_KAFKA_CACHE": "cache", "MAVEN_REPO_URL": "http://m"}
    )
    assert found == Sources(libs=Path("libs"), cache=Path("cache"), repository="http://m")
    assert Sources.from_environment({}).cache.name == f"kafka-{jars.KAFKA}"
