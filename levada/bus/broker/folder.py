"""A broker's folder: its lock, its log, and the identity that Kafka calls "formatting".

Formatting writes two files: `meta.properties` (cluster, node and directory ids) and a checkpoint with the features that the
cluster begins with. Kafka's own tool takes a second for it; the checkpoint is the same for every cluster, so it is kept beside
the jars and only the first file is written here. Users with SCRAM passwords are a part of the checkpoint: then the tool runs.
"""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
import shutil
import time
from pathlib import Path

from levada.bus.broker import process, settings
from levada.bus.broker.errors import FolderInUse

LARGEST_LOG_BYTES = 8 << 20
ORPHAN_WAIT_S = process.ORPHAN_STOP_S + 5.0
CHECKPOINT = Path("__cluster_metadata-0", "00000000000000000000-0000000000.checkpoint")


class Folder:
    """The paths, and the right to run a broker here."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.data = self.path / "data"
        self.log = self.path / "broker.log"
        self.properties = self.path / "server.properties"
        self.logging = self.path / "log4j2.properties"
        self._lock: int | None = None

    @property
    def lock(self) -> int | None:
        """The descriptor of the lock, for the broker to inherit; None while we do not hold it."""
        return self._lock

    def acquire(self) -> None:
        """Take the lock, making the folder if need be. Blocks while the orphan of a dead owner is being stopped.

        Raises FolderInUse when the owner lives. Does nothing when we hold it.
        """
        if self._lock is not None:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "broker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + ORPHAN_WAIT_S
        while not _locked(descriptor):
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            if not owner.isdigit() or _alive(int(owner)) or time.monotonic() > deadline:
                os.close(descriptor)
                raise FolderInUse(
                    f"{self.path} is in use by process {owner or '?'}: one folder belongs to one broker. "
                    "Stop that process, or choose another data folder."
                )
            time.sleep(0.05)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, because somebody may be waiting for it."""
        if self._lock is not None:
            os.truncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    @property
    def formatted(self) -> bool:
        return (self.data / "meta.properties").exists()

    def cluster_id(self) -> str | None:
        """The cluster that this folder belongs to; None before the first start."""
        try:
            lines = (self.data / "meta.properties").read_text().splitlines()
        except FileNotFoundError:
            return None
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        return found.get("cluster.id")

    def format_with(self, checkpoint: Path, cluster: str, node: int) -> None:
        """Write what Kafka's tool would write. Half-done work is never taken for a formatted folder."""
        target = self.data / CHECKPOINT
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkpoint, target)
        meta = {"version": "1", "cluster.id": cluster, "node.id": str(node), "directory.id": random_id()}
        half_done = self.data / "meta.properties.part"
        half_done.write_text(settings.as_file(meta))
        half_done.replace(self.data / "meta.properties")

    def forget(self) -> None:
        """Delete all that the broker stored, its identity included."""
        shutil.rmtree(self.data, ignore_errors=True)

    def shorten_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG_BYTES:
            self.log.replace(self.path / "broker.log.1")

    def log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def log_since(self, offset: int) -> str:
        """Return the end of what the broker has printed since the log had this size, without the frames of its stack."""
        with self.log.open("rb") as file:
            file.seek(offset)
            lines = file.read()[-10_000:].decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if not line.startswith("\tat ")).strip() or "it printed nothing"


def random_id() -> str:
    """Return 16 random bytes as Kafka writes them. Never with a dash in front, which a command line would take for an option."""
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
