"""Writes how far this installation has read to a Kafka group, so that tools that know Kafka can measure lag.

KEDA and most dashboards take lag from committed offsets. Levada reads its positions from Postgres and never from here, so
whatever goes wrong is said once and tried again with the next positions. The group has no members: offsets are committed
for assigned partitions, which are paused at once so that nothing is fetched.

Without members a group has no owner either, and two deployments on one name would overwrite each other's numbers in
silence. So every offset carries the installation that wrote it, and what is there is read before it is replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from levada.bus.kafka.cluster import QUESTION_S, stopped
from levada.bus.kafka.connection import KafkaSettings, arguments, explain, tamed

log = logging.getLogger(__name__)

#: Positions that do not change are written again after so long: brokers forget a group without members after days.
REPEAT_S = 60.0
#: How often it is said that somebody else uses our group, while that goes on.
COMPLAINT_S = 600.0


@dataclass(slots=True)
class _Group:
    consumer: AIOKafkaConsumer | None = None
    written: dict[TopicPartition, int] = field(default_factory=dict)
    #: Loop time of the last commit, of the last complaint about others.
    at: float = -REPEAT_S
    complained: float = -COMPLAINT_S
    failing: bool = False


class LagReport:
    """One consumer per group, made when first needed."""

    def __init__(self, settings: KafkaSettings, installation: str) -> None:
        self._settings = settings
        self._mark = f"levada {installation}"
        self._groups: dict[str, _Group] = {}
        self._lock = asyncio.Lock()
        #: Times that offsets of another installation stood where ours had been.
        self.shared = 0
        #: When that was last (loop time), and the other installation; "" for a program that is not Levada.
        self.stranger: tuple[float, str] | None = None

    async def publish(self, group: str, positions: Mapping[str, Mapping[int, int]]) -> None:
        """Commit positions (full topic name → partition → offset); never raises, takes some seconds at most."""
        places = {TopicPartition(topic, part): at for topic, parts in positions.items() for part, at in parts.items()}
        async with self._lock:
            known = self._groups.setdefault(group, _Group())
            now = asyncio.get_running_loop().time()
            if not places or (places == known.written and now - known.at < REPEAT_S):
                return
            try:
                async with asyncio.timeout(QUESTION_S):
                    await self._commit(group, known, places)
            except (TimeoutError, errors.KafkaError, OSError) as error:
                await self._failed(group, known, error)
            except asyncio.CancelledError:
                await _end(known)  # a client that is half-way started commits nothing ever
                raise
            else:
                if known.failing:
                    log.info("the lag of group %s is published again", group)
                known.written, known.at, known.failing = places, now, False

    async def _commit(self, group: str, known: _Group, places: Mapping[TopicPartition, int]) -> None:
        consumer = known.consumer
        if consumer is None:
            consumer = AIOKafkaConsumer(**arguments(self._settings), group_id=group, enable_auto_commit=False)
            tamed(consumer._client)
            known.consumer = consumer
            await consumer.start()
        if consumer.assignment() != places.keys():
            consumer.assign(list(places))
            consumer.pause(*places)
        # `committed` gives offsets only; who wrote them stands in the metadata.
        found = await consumer._coordinator.fetch_committed_offsets(list(places))
        self._look(group, known, {place: one.metadata for place, one in found.items() if one.metadata != self._mark})
        await consumer.commit({place: (position, self._mark) for place, position in places.items()})

    def _look(self, group: str, known: _Group, others: Mapping[TopicPartition, str]) -> None:
        """Say that offsets of somebody else are there; those that were there before us may be of the past."""
        replaced = others.keys() & known.written.keys()
        self.shared += bool(replaced)
        now = asyncio.get_running_loop().time()
        if replaced:
            self.stranger = (now, others[min(replaced)].removeprefix("levada "))
        if not others or now - known.complained < COMPLAINT_S or (known.written and not replaced):
            return
        place, mark = next((place, others[place]) for place in sorted(replaced or others))
        whose = f"`{mark}`" if mark else "a program that is not Levada"
        if not replaced:
            log.warning("group %s holds offsets of %s, we are `%s`: they are replaced", group, whose, self._mark)
            return
        known.complained = now
        log.error(
            "the offset of %s/%s in group %s was replaced by %s, we are `%s`. Two deployments use one group, so the lag "
            "that is measured there is neither's: give one of them another kafka.topic_prefix",
            place.topic,
            place.partition,
            group,
            whose,
            self._mark,
        )

    async def _failed(self, group: str, known: _Group, error: Exception) -> None:
        """Begin anew with the next positions; say why, but not for every try of the same trouble."""
        await _end(known)
        if known.failing:
            log.debug("the lag of group %s is still not published: %r", group, error)
            return
        known.failing = True
        if isinstance(error, errors.CommitFailedError):
            reason = "the group has members, so another program uses its name: give it, or Levada, another one"
        else:
            reason = explain(error, self._settings)
        log.warning("the lag of group %s can not be published, it is tried again: %s", group, reason)

    async def close(self) -> None:
        async with self._lock:
            for known in self._groups.values():
                await _end(known)


async def _end(known: _Group) -> None:
    consumer, known.consumer = known.consumer, None
    if consumer is not None:
        await stopped(consumer.stop(), "the consumer that publishes lag")
