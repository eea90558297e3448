"""What a worker needs to be told. Read once, by main.py."""

from pathlib import Path

import msgspec


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds, sizes bytes. `lease_s` must be the one of the jobs adapter.

    `data_dir` keeps results that are not handed in yet and Python environments; `temp_dir` the working directories.
    """

    name: str
    data_dir: Path
    temp_dir: Path
    slots: int = 8
    queues: tuple[str, ...] = ("default",)
    lease_s: float = 30.0
    poll_s: float = 10.0
    #: How long running tasks may go on after the worker was asked to stop.
    grace_s: float = 30.0
    kill_grace_s: float = 10.0
    output_bytes: int = 1024 * 1024
    log_line_bytes: int = 32 * 1024
    attempt_log_bytes: int = 100 * 1024 * 1024
    stdout_rate_bytes: int = 5 * 1024 * 1024

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
