"""Several brokers that share their topics: three by default, all of them controllers too.

They are started together, because a quorum of controllers is needed before any of them serves, and killed or paused one by
one. Topics that are made without saying otherwise have three copies, two of which must be written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from levada.bus.broker.broker import LOOK_EVERY_S, START_TIMEOUT_S, KafkaBroker, Setup
from levada.bus.broker.errors import BrokerError
from levada.bus.broker.folder import random_id

SIZE = 3


class KafkaCluster:
    """`brokers` in the order of their ids, which begin with 1."""

    def __init__(
        self,
        folder: Path | str,
        setup: Setup | None = None,
        *,
        size: int = SIZE,
        hosts: Sequence[str] = (),
        prefixes: Sequence[Sequence[str]] = (),
        advertised: Sequence[str | None] = (),
    ) -> None:
        """`hosts`, `prefixes` and `advertised` have one entry per broker, or none at all."""
        made = setup or Setup()
        self.brokers = tuple(
            KafkaBroker(
                Path(folder) / f"node-{number}",
                replace(made, prefix=prefixes[number - 1]) if prefixes else made,
                host=hosts[number - 1] if hosts else "127.0.0.1",
                node=number,
                advertised=advertised[number - 1] if advertised else None,
            )
            for number in range(1, size + 1)
        )
        self._join(self.brokers[0].cluster_id or random_id())

    @property
    def bootstrap(self) -> str:
        """All brokers' first listeners, separated by commas."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start all and return when each takes part. Raises what a broker's start raises; then none is left running."""
        try:
            first, *others = self.brokers
            await first.start(wait=False)  # alone at first: it may have to fetch the jars
            await asyncio.gather(*(broker.start(wait=False) for broker in others))
            await asyncio.gather(*(broker.wait_ready(timeout_s) for broker in self.brokers))
            await self.wait_complete(timeout_s)
        except BaseException:
            await self.stop(grace_s=0)
            raise

    async def wait_complete(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when every running broker knows of all others. Raises BrokerError when that takes too long."""
        everybody = frozenset(broker.place.node for broker in self.brokers)
        deadline = time.monotonic() + timeout_s
        while any([await broker.members() != everybody for broker in self.brokers]):
            if time.monotonic() > deadline:
                raise BrokerError(f"the {len(self.brokers)} brokers have not found each other in {timeout_s:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)

    async def stop(self, *, grace_s: float | None = None) -> None:
        """Stop all at once. The last ones lose their quorum and may need the SIGKILL that follows after 5 s."""
        await asyncio.gather(*(broker.stop(grace_s=grace_s) for broker in self.brokers))

    async def wipe(self) -> None:
        """Kill all and delete all that they stored; the next start is that of a new, empty cluster."""
        cluster = random_id()
        await asyncio.gather(*(broker.wipe(cluster=cluster) for broker in self.brokers))
        self._join(cluster)

    def _join(self, cluster: str) -> None:
        voters = [broker.place for broker in self.brokers]
        for broker in self.brokers:
            broker.join(voters, cluster)
