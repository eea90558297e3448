"""What a worker needs to be told. Read once, when it is put together."""

import hashlib
import socket
from pathlib import Path
from typing import Any

import msgspec

#: Of the time to stop, what is kept for handing in results and giving back attempts after the tasks were ended.
LAST_WORDS_S = 5.0


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds, sizes bytes. `lease_s` must be the one of the jobs adapter.

    `data_dir` keeps results that are not handed in yet and Python environments; `temp_dir` the working directories.
    """

    name: str
    data_dir: Path
    temp_dir: Path
    slots: int = 8
    queues: tuple[str, ...] = ("default",)
    tags: tuple[str, ...] = ()
    lease_s: float = 30.0
    poll_s: float = 10.0
    #: How long running tasks may go on after the worker was asked to stop.
    grace_s: float = 30.0
    kill_grace_s: float = 10.0
    output_bytes: int = 1024 * 1024
    log_line_bytes: int = 32 * 1024
    attempt_log_bytes: int = 100 * 1024 * 1024
    stdout_rate_bytes: int = 5 * 1024 * 1024
    #: With less space than this on the disks of the two folders nothing is claimed.
    free_disk_bytes: int = 0

    @property
    def renew_every_s(self) -> float:
        return self.lease_s / 3

    @property
    def claim_poll_s(self) -> float:
        """How long a claim waits for work. It counts against the lease, so with a renewal it must stay below the fence."""
        return min(self.poll_s, self.lease_s / 5)

    @property
    def fence_after_s(self) -> float:
        """Unrenewed for so long, tasks are killed: before the lease ends and somebody else may start them."""
        return max(self.lease_s - 3.0, self.lease_s * 0.6)


def configured(config: Any, temp_dir: Path, *, lease_s: float | None = None) -> WorkerConfig:
    """Return the worker's settings out of the one configuration tree; `lease_s` is the gateway's, when there is one.

    A stop lets tasks finish, then ends them, then says so: the three together fit into `server.shutdown_grace`.
    """
    data_dir = Path(config.data_dir).resolve() / "worker"
    grace_s = config.server.shutdown_grace - config.worker.kill_grace - LAST_WORDS_S
    return WorkerConfig(
        name=named(config),
        data_dir=data_dir,
        temp_dir=temp_dir,
        slots=config.worker.slots,
        queues=tuple(config.worker.queues),
        tags=tuple(config.worker.tags),
        lease_s=config.worker.lease if lease_s is None else lease_s,
        grace_s=max(grace_s, 0.0),
        kill_grace_s=config.worker.kill_grace,
        output_bytes=config.limits.output,
        log_line_bytes=config.limits.log_line,
        attempt_log_bytes=config.limits.attempt_logs,
        stdout_rate_bytes=config.limits.stdout_rate,
        free_disk_bytes=config.limits.free_disk,
    )


def named(config: Any) -> str:
    """Return the worker's name: the same after a restart, so that spooled results are found, and no other worker's.

    Unless it is configured it is made of the host and the data folder, so two workers of one host need two folders.
    """
    if config.worker.name:
        return str(config.worker.name)
    place = hashlib.blake2b(str(Path(config.data_dir).resolve() / "worker").encode(), digest_size=4).hexdigest()
    return f"{socket.gethostname()}-{place}"
