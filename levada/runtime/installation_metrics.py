"""Numbers of the whole installation: live executions, what waits where, how far readers are behind.

They are asked of the store, so one service shows them (the api, whose processes show the same; dashboards take the
largest), when somebody reads and at most every few seconds, with queries that read an index or a handful of rows.
"""

from __future__ import annotations

from collections.abc import Callable

from levada.bus.port import COMMANDS
from levada.model.states import State
from levada.runtime import metrics
from levada.runtime.platform import Platform

KEPT_S = 5.0


class InstallationMetrics:
    """Collects for one platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._asked_at = float("-inf")

    def watch(self, registry: metrics.Registry = metrics.REGISTRY) -> Callable[[], None]:
        """Show the numbers from now on; call what this returns to end it."""
        return registry.collect("installation", self.collect)

    async def collect(self) -> None:
        """Bring the gauges up to date unless that was done lately. Raises Transient."""
        now = self._platform.clock.monotonic()
        if now - self._asked_at < KEPT_S:
            return
        self._asked_at = now
        await self._executions()
        await self._behind()

    async def _executions(self) -> None:
        found: dict[tuple[str, ...], float] = {(state.value,): 0.0 for state in State if not state.is_terminal}
        for (_, state), n in (await self._platform.counts.live()).items():
            found[(state.value,)] += n
        metrics.LIVE.replace(found)

    async def _behind(self) -> None:
        bus = self._platform.bus
        ends = await bus.ends(COMMANDS)
        lags: dict[tuple[str, ...], float] = {}
        for partition in range(bus.partitions):
            done = await self._platform.executions.done_off(partition)
            lags[COMMANDS, str(partition)] = float(max(ends.get(partition, 0) - done, 0))
        metrics.BUS_LAG.replace(lags)
        metrics.COMMANDS_BEHIND.set(sum(lags.values()))
