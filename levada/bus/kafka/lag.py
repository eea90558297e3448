"""Writes how far this installation has read to a Kafka group, so that tools that know Kafka can measure lag.

KEDA and most dashboards take lag from committed offsets. Levada reads its positions from Postgres and never from here, so
whatever goes wrong is logged and forgotten. The group has no members: offsets are committed for assigned partitions, which
are paused at once so that nothing is fetched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from levada.bus.kafka.cluster import QUESTION_S, stopped
from levada.bus.kafka.connection import KafkaSettings, arguments, tamed

log = logging.getLogger(__name__)


class LagReport:
    """One consumer per group, made when first needed."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumers: dict[str, AIOKafkaConsumer] = {}
        self._lock = asyncio.Lock()

    async def publish(self, topic: str, positions: Mapping[int, int], group: str) -> None:
        """Commit the positions; never raises, takes some seconds at most."""
        if not positions:
            return
        async with self._lock:
            try:
                async with asyncio.timeout(QUESTION_S):
                    await self._commit(topic, positions, group)
            except (TimeoutError, errors.KafkaError, OSError) as error:
                # CommitFailedError: the group has members, so somebody else uses its name. IllegalStateError: ours is gone.
                log.warning("the lag of %s could not be published to group %s: %r", topic, group, error)
                await self._forget(group)

    async def _commit(self, topic: str, positions: Mapping[int, int], group: str) -> None:
        places = {TopicPartition(topic, part): position for part, position in positions.items()}
        consumer = self._consumers.get(group)
        if consumer is None:
            consumer = AIOKafkaConsumer(**arguments(self._settings), group_id=group, enable_auto_commit=False)
            tamed(consumer._client)
            self._consumers[group] = consumer
            await consumer.start()
        if consumer.assignment() != places.keys():
            consumer.assign(list(places))
            consumer.pause(*places)
        await consumer.commit(places)

    async def _forget(self, group: str) -> None:
        consumer = self._consumers.pop(group, None)
        if consumer is not None:
            await stopped(consumer.stop(), "the consumer that publishes lag")

    async def close(self) -> None:
        async with self._lock:
            for group in list(self._consumers):
                await self._forget(group)
