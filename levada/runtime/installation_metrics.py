"""Numbers of the whole installation: live executions, what waits where, how far readers are behind.

They are asked of the store, so one service shows them (the api, whose processes show the same; dashboards take the
largest), when somebody reads and at most every few seconds, with queries that read an index or a handful of rows.
"""

from __future__ import annotations

from collections.abc import Callable

from levada.bus.port import COMMANDS
from levada.model import routes
from levada.model.states import State
from levada.runtime import metrics
from levada.runtime.platform import Platform
from levada.store.members import Member
from levada.store.port import ExecutionFilter
from levada.store.postgres import PostgresGauges
from levada.store.postgres.gauges import Backlog

KEPT_S = 5.0
US = 1_000_000

Values = dict[tuple[str, ...], float]


class InstallationMetrics:
    """Collects for one platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._gauges = PostgresGauges(platform.database) if platform.database is not None else None
        self._asked_at = float("-inf")

    def watch(self, registry: metrics.Registry = metrics.REGISTRY) -> Callable[[], None]:
        """Show the numbers from now on; call what this returns to end it."""
        return registry.collect("installation", self.collect)

    async def collect(self) -> None:
        """Bring the gauges up to date unless that was done lately. Raises Transient; then they are asked anew next time."""
        now = self._platform.clock.monotonic()
        if now - self._asked_at < KEPT_S:
            return
        if self._gauges is None:
            await self._of_memory()
        else:
            await self._of_database(self._gauges)
        self._asked_at = now

    async def _of_database(self, gauges: PostgresGauges) -> None:
        now = self._platform.clock.now_us()
        _show_live(await gauges.live())
        held, waiting = await gauges.slots()
        metrics.SLOTS_HELD.set(held)
        metrics.SLOTS_WAITING.set(waiting)
        metrics.DEAD_LETTERS.replace({(topic,): float(n) for topic, n in (await gauges.dead_letters()).items()})
        if self._platform.ingress is not None:
            ingress = await gauges.ingress()
            metrics.INGRESS_WAITING.set(ingress.depth)
            metrics.INGRESS_AGE.set(_age_s(ingress, now))
        _show_queues(await gauges.queues(), await self._platform.members.all("worker"), now)
        await self._show_lag(await gauges.applied())
        _, owners = await self._platform.members.survey("executor", COMMANDS)
        metrics.UNOWNED.set(sum(owner is None for owner in owners.values()))

    async def _show_lag(self, applied: dict[str, dict[int, int]]) -> None:
        lags: Values = {}
        for topic, positions in applied.items():
            ends = await self._platform.bus.ends(topic)
            for part, position in positions.items():
                lags[topic, str(part)] = float(max(ends.get(part, 0) - position, 0))
        metrics.BUS_LAG.replace(lags)
        metrics.COMMANDS_BEHIND.set(sum(lag for (topic, _), lag in lags.items() if topic == COMMANDS))

    async def _of_memory(self) -> None:
        found = {}
        for state in State:
            if not state.is_terminal:
                filter = ExecutionFilter(states=(state,))
                _, found[state.value] = await self._platform.queries.search("main", filter, limit=1)
        _show_live(found)
        parts = range(self._platform.bus.partitions)
        await self._show_lag({COMMANDS: {part: await self._platform.executions.done_off(part) for part in parts}})


def _show_live(found: dict[str, int]) -> None:
    states = [state.value for state in State if not state.is_terminal]
    metrics.LIVE.replace({(state,): float(found.get(state, 0)) for state in [*states, *found.keys() - states]})


def _show_queues(queues: dict[str, Backlog], workers: list[Member], now: int) -> None:
    """Depth and age of every route with something waiting; workers also of the queues that they name themselves."""
    there = [worker.info for worker in workers if worker.live and not worker.info.get("draining")]
    named = {queue for info in there for queue in info.get("queues", ())}
    depth: Values = {(queue,): 0.0 for queue in named}
    age: Values = dict(depth)
    serving: Values = {}
    for route, backlog in queues.items():
        depth[(route,)] = float(backlog.depth)
        age[(route,)] = _age_s(backlog, now)
    for (route,) in depth:
        served = (routes.serves(route, info.get("queues", ()), info.get("tags", ())) for info in there)
        serving[(route,)] = float(sum(served))
    metrics.QUEUE_DEPTH.replace(depth)
    metrics.QUEUE_AGE.replace(age)
    metrics.QUEUE_WORKERS.replace(serving)


def _age_s(backlog: Backlog, now: int) -> float:
    return max(now - backlog.oldest, 0) / US if backlog.oldest is not None else 0.0
