"""What a process can say of itself: memory, processor time, files, the event loop's lag, the parts that were restarted.

Read when somebody asks for `/metrics`, from /proc and getrusage; where the system does not say, the number stays 0.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from levada.runtime import metrics
from levada.runtime.clock import Clock
from levada.runtime.lifecycle import Lifecycle
from levada.runtime.watchdog import LoopWatchdog


def watch_process(
    clock: Clock,
    service: str,
    *,
    watchdog: LoopWatchdog | None = None,
    lifecycle: Lifecycle | None = None,
    registry: metrics.Registry = metrics.REGISTRY,
) -> Callable[[], None]:
    """Show this process at `/metrics` from now on; call what this returns to end it."""
    metrics.STARTED.set(clock.now_us() / 1_000_000)
    metrics.INFO.set(1, service, version("levada"))

    def collect() -> None:
        metrics.RSS.set(resident_bytes())
        used = resource.getrusage(resource.RUSAGE_SELF)
        metrics.CPU.follow(used.ru_utime + used.ru_stime)
        metrics.OPEN_FDS.set(_open_fds())
        metrics.MAX_FDS.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if watchdog is not None:
            metrics.LOOP_LAG.set(watchdog.lag_s)
            metrics.LOOP_WORST.set(watchdog.worst_s)
            metrics.STANDSTILLS.follow(watchdog.standstills)
        if lifecycle is not None:
            for part, restarts in lifecycle.restarts.items():
                metrics.RESTARTS.follow(restarts, part)

    return registry.collect("process", collect)


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _open_fds() -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/fd"))
    return 0
