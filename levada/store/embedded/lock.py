"""One owner per data folder.

The lock is `flock` on a file inside the folder: the kernel drops it when the owner dies, however it dies, so it is never
stale. The file's content (the owner's process id) is only for the message; it is never used to decide anything.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from levada.store.embedded.errors import DataDirInUse, EmbeddedPostgresError


class DataDirLock:
    """The right to run a server on a data folder, held until `release` or the end of this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock at once. Raises DataDirInUse with the owner's pid; never waits for the owner."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(fd)
            os.close(fd)
            raise DataDirInUse(
                f"{self._path.parent} is in use by {owner}: one data folder belongs to one Levada at a time. "
                f"Stop that process, or give this one another folder (--data-dir, LEVADA_DATA_DIR)."
            ) from None
        except OSError as error:
            os.close(fd)
            raise EmbeddedPostgresError(
                f"cannot lock {self._path}: {error.strerror}. The data folder must be on a local disk."
            ) from error
        os.truncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; without a lock, do nothing.

        The file stays: removing it would let a waiting process lock a file that no longer has a name.
        """
        if self._fd is not None:
            os.truncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


def _owner(fd: int) -> str:
    for _ in range(20):  # the owner writes its pid just after it has locked
        pid = os.pread(fd, 32, 0).decode(errors="replace").strip()
        if pid:
            return f"process {pid}"
        time.sleep(0.005)
    return "another process"
