"""Where the broker's program comes from: 45 jars, each with its SHA-256 in `jars.lock`.

In this order: a folder that somebody names (a Kafka distribution's `libs`, taken as it is); the cache, complete by hash;
a Maven repository whose address stands in MAVEN_REPO_URL; `mvn`, which knows the mirrors and passwords of its user. Kafka is
large and few need a broker of their own, so it is no dependency of the package. No address of a repository is built in.

What is fetched is checked before it gets its name, so the cache never holds a jar that is not in the lock file for longer
than it takes to look; one that was damaged there is fetched again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from levada.bus.broker.errors import NoKafka

KAFKA = "4.4.0"
SIZE_MB = 43
DOWNLOADS = 6
ATTEMPTS = 3
READ_TIMEOUT_S = 30.0
MAVEN_TIMEOUT_S = 900.0
CHUNK = 1 << 18

WAYS = (
    "Ways to get them: set MAVEN_REPO_URL to the address of a Maven repository; or install Maven (`mvn`, which uses its own "
    "settings); or set LEVADA_KAFKA_LIBS to the `libs` folder of a Kafka distribution; or copy the cache folder from a machine "
    "that has it (LEVADA_KAFKA_CACHE). Or name a Kafka that runs already in kafka.bootstrap_servers."
)


class Cancelled(Exception):
    """The caller has stopped waiting."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Its place in any Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look and what to ask. `libs` excludes everything else."""

    libs: Path | None = None
    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "levada" / f"kafka-{KAFKA}")
    repository: str | None = None
    maven: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Sources:
        libs, cache = environ.get("LEVADA_KAFKA_LIBS"), environ.get("LEVADA_KAFKA_CACHE")
        return cls.of(Path(libs) if libs else None, Path(cache) if cache else None, environ)

    @classmethod
    def of(cls, libs: Path | None, cache: Path | None, environ: Mapping[str, str] = os.environ) -> Sources:
        """Folders from the configuration, the rest from the environment; None means the default."""
        repository = environ.get("MAVEN_REPO_URL") or None
        maven = shutil.which("mvn", path=environ.get("PATH", ""))
        if cache is None:
            return cls(libs=libs, repository=repository, maven=maven)
        return cls(libs=libs, cache=cache, repository=repository, maven=maven)


@dataclass(frozen=True, slots=True)
class Library:
    """The class path, and a folder beside it for what is derived from the jars; None where nothing may be written."""

    jars: tuple[Path, ...]
    derived: Path | None


def locked() -> list[Jar]:
    """Return the lock file's jars, in the order of the class path."""
    text = resources.files(__package__).joinpath("jars.lock").read_text()
    return [Jar(*line.replace(":", " ").split()) for line in text.splitlines()]


def obtain(
    sources: Sources,
    tell: Callable[[str], None] = lambda _: None,
    cancelled: threading.Event | None = None,
) -> Library:
    """Return the jars, fetching those that are missing; blocks, with many processes on one cache too.

    `tell` hears about a fetch before it begins. Raises NoKafka that names every way, and Cancelled soon after the event is
    set.
    """
    if sources.libs is not None:
        return Library(_given(sources.libs), None)
    with _alone(sources.cache):
        missing = [jar for jar in locked() if not _sound(sources.cache / jar.name, jar)]
        if missing:
            _fetch(sources, missing, tell, cancelled or threading.Event())
    return Library(tuple(sources.cache / jar.name for jar in locked()), sources.cache)


def _given(folder: Path) -> tuple[Path, ...]:
    found = tuple(sorted(folder.glob("*.jar")))
    if not any(path.name.startswith("kafka_2.13-") for path in found):
        raise NoKafka(f"{folder} (LEVADA_KAFKA_LIBS) holds no kafka_2.13-….jar; name the `libs` folder of a Kafka.")
    return found


@contextlib.contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Let one process at a time look and fetch."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "fetch.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise NoKafka(f"cannot keep Kafka's jars in {cache} (LEVADA_KAFKA_CACHE): {error}") from error


def _sound(path: Path, jar: Jar) -> bool:
    try:
        return _sha256(path) == jar.sha256
    except FileNotFoundError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(sources: Sources, missing: Sequence[Jar], tell: Callable[[str], None], cancelled: threading.Event) -> None:
    why = "neither MAVEN_REPO_URL nor `mvn` is there"
    if sources.repository is not None:
        tell(f"fetching Kafka {KAFKA}, {SIZE_MB} MB, once")
        _download(sources.repository.rstrip("/"), sources.cache, missing, cancelled)
    elif sources.maven is not None:
        tell(f"fetching Kafka {KAFKA} with Maven, {SIZE_MB} MB, once")
        _ask_maven(sources.maven, sources.cache, missing, cancelled)
    else:
        raise NoKafka(f"Kafka's jars are not in {sources.cache}, and {why}. {WAYS}")


# --- a repository's address


def _download(base: str, cache: Path, missing: Sequence[Jar], cancelled: threading.Event) -> None:
    with ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="kafka-jars") as pool:
        tasks = [pool.submit(_download_one, f"{base}/{jar.path}", cache, jar, cancelled) for jar in missing]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            cancelled.set()  # one that fails fails all: the rest is not worth waiting for
            raise


def _download_one(url: str, cache: Path, jar: Jar, cancelled: threading.Event) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _copy(url, cache / f"{jar.name}.part", cancelled)
        except (OSError, urllib.error.URLError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if attempt == ATTEMPTS or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                raise NoKafka(f"cannot fetch {url}: {error}. {WAYS}") from error
            cancelled.wait(attempt)
        else:
            _take(cache / f"{jar.name}.part", cache, jar, url)
            return


def _copy(url: str, target: Path, cancelled: threading.Event) -> None:
    with urllib.request.urlopen(url, timeout=READ_TIMEOUT_S) as answer, target.open("wb") as file:
        while chunk := answer.read(CHUNK):
            if cancelled.is_set():
                raise Cancelled
            file.write(chunk)


def _take(found: Path, cache: Path, jar: Jar, source: str) -> None:
    """Give a fetched file its name. Raises NoKafka when it is not the file of the lock."""
    actual = _sha256(found)
    if actual != jar.sha256:
        found.unlink()
        raise NoKafka(
            f"{jar.name} from {source} is not the file that Levada was tested with: its SHA-256 is {actual}, "
            f"{jar.sha256} was expected. The repository or a proxy in between has changed it. {WAYS}"
        )
    found.replace(cache / jar.name)


# --- mvn


def _ask_maven(maven: str, cache: Path, missing: Sequence[Jar], cancelled: threading.Event) -> None:
    with tempfile.TemporaryDirectory(prefix="mvn-", dir=cache) as name:
        folder = Path(name)
        (folder / "pom.xml").write_bytes(resources.files(__package__).joinpath("pom.xml").read_bytes())
        libs = folder / "libs"
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"]
        _run([maven, "-q", "-B", *goal], folder, cancelled)
        for jar in missing:
            if not (libs / jar.name).is_file():
                raise NoKafka(f"`mvn` did not bring {jar.name}. {WAYS}")
            _take(libs / jar.name, cache, jar, "`mvn`")


def _run(command: list[str], folder: Path, cancelled: threading.Event) -> None:
    with (folder / "output").open("w+b") as output:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _wait(process, cancelled)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode != 0:
        said = (folder / "output").read_text(errors="replace").strip()[-2000:]
        raise NoKafka(f"`{' '.join(command[:4])} …` failed with exit code {process.returncode}: {said}\n{WAYS}")


def _wait(process: subprocess.Popen[bytes], cancelled: threading.Event) -> None:
    left_s = MAVEN_TIMEOUT_S
    while process.poll() is None:
        if cancelled.wait(0.1):
            raise Cancelled
        left_s -= 0.1
        if left_s <= 0:
            raise NoKafka(f"`mvn` has not ended after {MAVEN_TIMEOUT_S:.0f} s. {WAYS}")
