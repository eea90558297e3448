"""Kafka as a command line: which Java, which class path, and an archive of loaded classes that halves the time to start.

Java can write down the classes that a run has loaded when it ends (AppCDS) and map them into memory the next time. The first
broker that is stopped in order leaves the archive beside the jars. It only saves time: it belongs to exactly one Java and one
class path, its name says which, and where it is missing the broker just starts slower.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from levada.bus.broker import folder as folders
from levada.bus.broker import jars, java, settings
from levada.bus.broker.errors import BrokerError
from levada.bus.broker.jars import Library, Sources
from levada.bus.broker.java import Java

log = logging.getLogger(__name__)

BROKER, STORAGE_TOOL = "kafka.Kafka", "kafka.tools.StorageTool"
FORMAT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """What runs a broker on this machine."""

    java: Java
    library: Library

    @classmethod
    async def find(cls, sources: Sources, tell: Callable[[str], None]) -> Program:
        """Return it, fetching the jars if need be. Raises NoJava before anything is fetched, and NoKafka."""
        found = await asyncio.to_thread(java.find)
        cancelled = threading.Event()
        try:
            return cls(found, await asyncio.to_thread(jars.obtain, sources, tell, cancelled))
        except asyncio.CancelledError:
            cancelled.set()
            raise

    @property
    def archive(self) -> Path | None:
        """Where the archive of this Java and these jars is or will be; None where it cannot be kept."""
        if self.library.derived is None:
            return None
        said = "\n".join([str(self.java.program), self.java.version, *map(str, self.library.jars)])
        return self.library.derived / f"broker-{hashlib.sha256(said.encode()).hexdigest()[:16]}.jsa"

    def command(self, home: folders.Folder, jvm: Sequence[str], record: Path | None) -> list[str]:
        """Return the command line of a broker; with `record` it writes an archive there when it ends."""
        archive = self.archive
        sharing: list[str] = []
        if record is not None:
            sharing = [f"-XX:ArchiveClassesAtExit={record}"]
        elif archive is not None and archive.exists():
            sharing = [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"]
        # The JVM's own remarks (classes that cannot be archived, an archive that does not fit) help nobody.
        return [
            *self._java(home, [*jvm, *sharing, "-Xlog:disable", "-Xlog:all=error:stderr"]),
            BROKER,
            str(home.properties),
        ]

    async def format(self, home: folders.Folder, cluster: str, node: int, users: Mapping[str, str]) -> None:
        """Make a data folder of this cluster. Raises BrokerError with what Kafka's tool says."""
        kept = None if self.library.derived is None else self.library.derived / folders.CHECKPOINT.name
        if kept is not None and not users and kept.exists():
            home.format_with(kept, cluster, node)
            return
        scram = [
            argument
            for name, password in users.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for argument in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]
        quick = ["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        arguments = ["format", "-t", cluster, "-c", str(home.properties), *scram]
        code, output = await _run([*self._java(home, quick), STORAGE_TOOL, *arguments])
        if code != 0:
            raise BrokerError(f"Kafka could not format {home.data} (exit code {code}): {output[-2000:]}")
        if kept is not None and not users:
            keep(home.data / folders.CHECKPOINT, kept)

    def _java(self, home: folders.Folder, options: Sequence[str]) -> list[str]:
        class_path = os.pathsep.join(map(str, self.library.jars))
        logging = f"-Dlog4j2.configurationFile={home.logging}"
        return [str(self.java.program), *options, logging, "-cp", class_path]


def write_files(home: folders.Folder, values: Mapping[str, str]) -> None:
    """Write the settings that the command line names. Only we may read them: a listener's may hold passwords."""
    home.logging.write_text(settings.LOGGING)
    home.properties.touch(mode=0o600)
    home.properties.write_text(settings.as_file({**values, "log.dirs": str(home.data)}))


def keep(source: Path, target: Path) -> None:
    """Copy a file beside the jars so that nobody sees half of it. It only saves time, so failing is no harm."""
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, part)
        part.replace(target)
    except OSError as error:
        log.debug("%s is not kept: %s", target, error)
        part.unlink(missing_ok=True)


async def _run(command: Sequence[str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(FORMAT_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        return -9, f"it has not ended after {FORMAT_TIMEOUT_S:.0f} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace").strip()
