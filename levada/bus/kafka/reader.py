"""Reading one topic: a consumer of aiokafka without a group, sent to the positions that its caller names.

aiokafka keeps one fetch under way per broker and does not ask for more while records of any partition lie in it. So each
poll takes out everything that has come and keeps it here, per partition, and hands out equal shares. What a caller skips or
repeats is found here when possible; else the consumer is sent there. Records that are not for the caller (another
installation's) are left out: `told` is how far the caller is, `here` how far we are, `ahead` what was fetched.

One caller at a time. Saturated readers simply do not poll; then at most `HIGH_WATER_BYTES` and one fetch lie in memory.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition, errors

from levada.bus.kafka import envelope
from levada.bus.kafka.cluster import Cluster, stopped
from levada.bus.kafka.connection import KafkaSettings, arguments, cause, tamed
from levada.bus.kafka.envelope import Opened
from levada.bus.kafka.watchdog import Pulse, Verdict
from levada.bus.port import PositionLost
from levada.bus.tail import shared
from levada.model.errors import Defect, Transient

log = logging.getLogger(__name__)

FETCH_BYTES = 4 * 1024 * 1024
PARTITION_FETCH_BYTES = 1024 * 1024
HIGH_WATER_BYTES = 16 * 1024 * 1024
#: The longest that a fetch waits at the broker when nothing comes. Each costs the client about a millisecond.
FETCH_WAIT_MS = 500
#: How often a waiting reader looks whether its consumer still lives.
LOOK_S = 1.0
CORRUPT_TRIES = 3
#: How long a reader that must not wait does wait for what is known to be there.
SETTLE_S = 5.0


class _Flow:
    """One partition. Offsets: `told` <= `here` <= `ahead`."""

    __slots__ = ("ahead", "corrupt", "here", "raw", "size", "told")

    def __init__(self, position: int) -> None:
        self.told = self.here = self.ahead = position
        self.raw: deque[ConsumerRecord] = deque()
        self.size = 0
        self.corrupt = 0

    def add(self, raws: Sequence[ConsumerRecord]) -> None:
        self.raw.extend(raws)
        self.ahead = raws[-1].offset + 1
        self.size += sum([raw.serialized_value_size for raw in raws])
        self.corrupt = 0

    def pop(self) -> None:
        """Leave the first record behind."""
        raw = self.raw.popleft()
        self.here = raw.offset + 1
        self.size -= raw.serialized_value_size

    def go(self, position: int) -> bool:
        """Move to where the caller wants to read; return whether the consumer has to go there too."""
        if position == self.told:
            return False
        inside = self.here <= position <= self.ahead
        while inside and self.raw and self.raw[0].offset < position:
            self.pop()
        self.told = self.here = position
        if not inside:
            self.raw.clear()
            self.size = 0
            self.ahead = position
        return not inside


class Reader:
    """`opened` turns what came into records, None for what is not for this installation; `topic` is called `name` by us."""

    def __init__(
        self,
        settings: KafkaSettings,
        cluster: Cluster,
        topic: str,
        opened: Callable[[ConsumerRecord], Opened | None],
        *,
        name: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._topic = topic
        self._name = name
        self._opened = opened
        self._monotonic = monotonic
        self._consumer: AIOKafkaConsumer | None = None
        self._flows: dict[int, _Flow] = {}
        self._turn = 0
        self._unconfirmed = False
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False
        self.pulse = Pulse(monotonic)
        self.busy = False

    @property
    def partitions(self) -> frozenset[int]:
        return frozenset(self._flows)

    async def read(
        self, positions: Mapping[int, int], *, max_records: int, max_bytes: int, timeout_s: float
    ) -> list[Opened]:
        """Return what there is from the positions on, waiting up to `timeout_s` for the first.

        With 0 there is no waiting for what has yet to come, but what the brokers have already confirmed is found.

        The caller confirms with `told` what it hands on.
        """
        await self._follow(positions)
        until = self._monotonic() + timeout_s
        wait_s = 0.0
        settled = timeout_s > 0
        while not self._closed:
            if sum(flow.size for flow in self._flows.values()) < HIGH_WATER_BYTES:
                await self._fetch(wait_s)
            found = self._take(max_records, max_bytes)
            if not found and not settled:
                settled = True
                until += SETTLE_S if await self._behind() else 0.0
            remaining = until - self._monotonic()
            if found or remaining <= 0:
                self._unconfirmed = bool(found)
                return found
            await self._look()
            wait_s = 0.0 if any(flow.raw for flow in self._flows.values()) else min(remaining, LOOK_S)
        return []

    async def _behind(self) -> bool:
        """Whether the brokers have something that has not come here yet."""
        ends = await self._cluster.ends(self._topic, self._flows)
        return any(flow.ahead < ends[part] for part, flow in self._flows.items())

    def told(self, records: Iterable[Opened]) -> None:
        """These are handed to the caller now; with them whatever was left out."""
        self._unconfirmed = False
        for record, _ in records:
            self._flows[record.partition].told = record.offset + 1

    async def close(self) -> None:
        """Let a waiting caller go."""
        self._closed = True
        await self._forget()
        if self._ending:
            await asyncio.wait(self._ending)

    # --- where to read

    async def _follow(self, positions: Mapping[int, int]) -> None:
        """Bring the consumer to the partitions and positions that are asked for."""
        flows = self._flows
        elsewhere = positions.keys() != flows.keys()
        if elsewhere:
            self._flows = {part: flows.get(part) or _Flow(position) for part, position in positions.items()}
        for part, position in positions.items():
            if self._unconfirmed:  # what was taken never reached the caller
                self._flows[part].told = -1
            elsewhere |= self._flows[part].go(position)
        self._unconfirmed = False
        if elsewhere and self._consumer is not None:
            # A new one: the fetch that the old one has under way would hold up the next by as long as it may wait.
            old, self._consumer = self._consumer, None
            self._background(stopped(old.stop(), f"the former consumer of {self._topic}"))
        await self._living()

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Tell the consumer its partitions and where they begin; nothing of it waits, so no other position is ever read."""
        consumer.assign([self._place(part) for part in self._flows])
        self._seek_all(consumer)
        self.pulse.expect(self._flows)

    def _seek_all(self, consumer: AIOKafkaConsumer) -> None:
        for part, flow in self._flows.items():
            consumer.seek(self._place(part), flow.ahead)

    def _place(self, part: int) -> TopicPartition:
        return TopicPartition(self._topic, part)

    # --- the consumer

    async def _living(self) -> AIOKafkaConsumer:
        consumer = self._consumer
        if consumer is not None and not consumer._fetcher._fetch_task.done():
            return consumer
        if consumer is not None:
            log.warning("the consumer of %s has ended by itself and is made anew", self._topic)
            await self._forget()
            self.pulse.rebuilt()
        return await self._connect()

    async def _connect(self) -> AIOKafkaConsumer:
        """Start a consumer and send it where we are. Raises Transient with the cause when that can not be done."""
        await self._cluster.know(self._topic)
        consumer = AIOKafkaConsumer(
            **arguments(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        )
        tamed(consumer._client)
        # Not cancelled half-way: aiokafka would forget the connection that it is just opening, and leave it open.
        starting = asyncio.create_task(consumer.start())
        try:
            await asyncio.wait_for(asyncio.shield(starting), self._settings.connect_timeout_s)
        except (TimeoutError, errors.KafkaError, OSError) as error:
            self._background(_ended(starting, consumer))
            raise Transient(await cause(error, self._settings)) from error
        except BaseException:
            self._background(_ended(starting, consumer))
            raise
        if self._closed:
            await stopped(consumer.stop(), "a consumer")
            raise Transient("the bus is closed")
        self._consumer = consumer
        self._assign(consumer)
        return consumer

    async def _forget(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stopped(consumer.stop(), f"the consumer of {self._topic}")

    async def _look(self) -> None:
        """While nothing comes: is it quiet, is Kafka away, or is our consumer stuck? Raises Transient or Defect."""
        consumer = self._consumer
        if consumer is None:
            return
        self.pulse.hear({part: consumer.last_poll_timestamp(self._place(part)) for part in self._flows})
        verdict = self.pulse.verdict()
        if verdict is Verdict.WELL:
            return
        self._cluster.doubt()
        await self._cluster.know(self._topic)  # it may be gone, with all that was in it
        await self._cluster.ends(self._topic, self._flows)  # raises when brokers are away: then it is not us
        if verdict is Verdict.STUCK:
            self.pulse.rebuilt()
            log.error("the consumer of %s fetches nothing though the brokers answer: it is made anew", self._topic)
            await self._forget()
            await self._connect()

    # --- records

    async def _fetch(self, wait_s: float) -> None:
        """Take over everything that the consumer has, waiting up to `wait_s` for something to come."""
        consumer = await self._living()
        try:
            # What aiokafka has unpacked before it finds a damaged batch is lost with it: near one, record by record.
            careful = any(flow.corrupt for flow in self._flows.values())
            batches = await consumer.getmany(timeout_ms=wait_s * 1000, max_records=1 if careful else None)
        except errors.ConsumerStoppedError:
            return
        except errors.OffsetOutOfRangeError as error:
            self._seek_all(consumer)
            await self._lost(error)
            return
        except errors.CorruptRecordException as error:
            self._corrupt(consumer, error)
            return
        except errors.TopicAuthorizationFailedError as error:
            self._seek_all(consumer)
            user = self._settings.sasl_username
            raise Transient(f"user `{user}` may not read topic {self._topic}: grant it Read and Describe") from error
        except errors.KafkaError as error:
            await self._forget()
            raise Transient(await cause(error, self._settings)) from error
        for place, raws in batches.items():
            flow = self._flows.get(place.partition)
            if flow is None:
                continue
            flow.add(raws)

    def _take(self, max_records: int, max_bytes: int) -> list[Opened]:
        """Take the next records off the flows, an equal share of each, beginning with another partition every time."""
        self._turn += 1
        order = list(self._flows)
        start = self._turn % max(len(order), 1)
        wanted = {part: len(self._flows[part].raw) for part in order[start:] + order[:start] if self._flows[part].raw}
        found: list[Opened] = []
        size = 0
        for part, count in shared(wanted, max_records).items():
            flow = self._flows[part]
            for _ in range(count):
                opened = self._opened(flow.raw[0])
                if opened is not None:
                    record, blob = opened
                    size += len(record.body) if blob is None else blob.size
                    if found and size > max_bytes:
                        return found
                    found.append(opened)
                flow.pop()
        return found

    # --- what can be wrong with a log

    async def _lost(self, error: errors.OffsetOutOfRangeError) -> None:
        """Raise PositionLost unless the brokers say by now that the position is there."""
        for place, position in error.args[0].items():
            part = place.partition
            end = (await self._cluster.ends(self._topic, [part]))[part]
            start = (await self._cluster.starts(self._topic, [part]))[part]
            if not start <= position <= end:
                raise PositionLost(self._name, part, position, start, end) from error

    def _corrupt(self, consumer: AIOKafkaConsumer, error: errors.CorruptRecordException) -> None:
        """Read again, as it may have happened on the way; then step over one offset and say so as loudly as we can."""
        self._seek_all(consumer)
        found = re.search(r"partition=(\d+)", str(error))
        if found is None:
            raise Defect(f"a record of {self._topic} is corrupt, but aiokafka does not say where: {error}") from error
        flow = self._flows[int(found[1])]
        flow.corrupt += 1
        if flow.corrupt <= CORRUPT_TRIES:
            return
        part, offset = int(found[1]), flow.ahead
        log.error("record %s/%s of %s is corrupt on the brokers and is stepped over", part, offset, self._topic)
        flow.add([_gap(self._topic, part, offset)])
        consumer.seek(self._place(part), flow.ahead)


def _gap(topic: str, part: int, offset: int) -> Any:
    """Stand in for a record that can not be read."""
    headers = ((envelope.CORRUPT, b""),)
    return ConsumerRecord(topic, part, offset, 0, 0, None, b"", None, -1, 0, headers)


async def _ended(starting: asyncio.Task[None], consumer: AIOKafkaConsumer) -> None:
    """Wait for a start that nobody wants any more, and undo it."""
    await asyncio.wait([starting])
    if not starting.cancelled():
        starting.exception()
    await stopped(consumer.stop(), "a consumer that was not needed any more")
