"""Which Java runs the broker: the one in JAVA_HOME, else the one on the PATH, if it is new enough."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from levada.bus.broker.errors import NoJava

MINIMUM = 17
"""Kafka 4 brokers need it."""

ANSWER_TIMEOUT_S = 30.0

REMEDY = (
    f"Install Java {MINIMUM} or newer (for example: apt-get install openjdk-17-jre-headless, brew install openjdk), or set "
    "JAVA_HOME to one, or name a Kafka that runs already in kafka.bootstrap_servers."
)


@dataclass(frozen=True, slots=True)
class Java:
    """A program that runs, and what it says it is."""

    program: Path
    major: int
    version: str
    """All that `java -version` prints; an archive of classes belongs to exactly this."""


def find(environ: Mapping[str, str] = os.environ) -> Java:
    """Return the first Java that is new enough; blocks while it is asked. Raises NoJava with what was found instead."""
    refused: list[str] = []
    for program in _candidates(environ):
        version = _version(program)
        major = parse_major(version)
        if major is not None and major >= MINIMUM:
            return Java(program, major, version)
        refused.append(f"{program} is {'not a Java that runs' if major is None else f'Java {major}'}")
    found = f"{'; '.join(refused)}. " if refused else ""
    raise NoJava(f"no Java {MINIMUM} or newer to run Kafka with. {found}{REMEDY}")


def parse_major(version: str) -> int | None:
    """Return 17 for `openjdk version "17.0.15" …` and 8 for `java version "1.8.0_402"`; None for anything else."""
    found = re.search(r'version "(?:1\.)?(\d+)', version)
    return int(found[1]) if found is not None else None


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    home = environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java"
    program = shutil.which("java", path=environ.get("PATH", ""))
    if program is not None:
        yield Path(program)


def _version(program: Path) -> str:
    try:
        done = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{error}"
    return done.stderr + done.stdout
