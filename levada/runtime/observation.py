"""What every process of Levada shows of itself while it runs: its numbers, its loop's lag, its traces.

`observed` stands around the life of a process, whether that is one service or all of them (`levada standalone`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from levada.runtime import telemetry
from levada.runtime.clock import Clock
from levada.runtime.config import Config
from levada.runtime.lifecycle import Lifecycle
from levada.runtime.process_metrics import watch_process
from levada.runtime.watchdog import LoopWatchdog


@contextlib.contextmanager
def observed(config: Config, clock: Clock, service: str, lifecycle: Lifecycle) -> Iterator[None]:
    """Watch the process while the context lasts; adds the watchdog to `lifecycle`, so enter before it runs.

    Leaving may block for `telemetry.shutdown_s` at the most: spans that are still here are sent.
    """
    watchdog = LoopWatchdog(clock)
    lifecycle.add("loop-watchdog", watchdog.run)
    forget = watch_process(clock, service, watchdog=watchdog, lifecycle=lifecycle)
    stop_telemetry = telemetry.configure(config.telemetry, service, environment=config.environment.name)
    try:
        yield
    finally:
        forget()
        stop_telemetry()
