"""Appending to Kafka: one lane per partition, and one producer of aiokafka that is thrown away when in doubt.

A lane sends one batch at a time and keeps the order of what it is given; what arrives while a batch is on its way goes
into the next one, so the busier a partition, the larger its batches and the cheaper each record. A lane whose broker is
away holds up nobody but itself.

An idempotent producer of aiokafka never gives up: while a broker is away its futures just wait, and a caller's timeout does
not stop the record from being sent later. So here everything has a deadline. What is not confirmed in time raises
Transient, "may or may not have happened"; the producer is retired, records that wait are not sent after their caller has
given up, and how much may wait is bounded. A producer whose batch failed for any reason is retired as well: its sequence
numbers have a hole then, and no later batch of it could succeed. Retired means: no new batch, and an end as soon as the
batches on their way are through.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer, errors

from levada.bus.kafka.cluster import STOP_S, Cluster, stopped
from levada.bus.kafka.connection import KafkaSettings, arguments, cause, explain, tamed
from levada.bus.kafka.envelope import Headers
from levada.model.errors import Defect, LevadaError, Transient

log = logging.getLogger(__name__)

BATCH_BYTES = 512 * 1024
WAITING_BYTES = 64 * 1024 * 1024
#: Sequence numbers of aiokafka go wrong at 2^31 records per partition.
RECORDS_PER_PRODUCER = 1 << 30
#: Pause between two tries to start a producer; appends in between fail at once with the reason of the last.
RESTART_PAUSE_S = 0.25

Entry = tuple[bytes, bytes, Headers]
Place = tuple[str, int]


class Call:
    """What one caller waits for: all its portions, or the first error."""

    __slots__ = ("done", "left")

    def __init__(self, portions: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left = portions

    def arrived(self) -> None:
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)

    def failed(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class _Portion:
    """The records of one call that go to one partition. `sent`: how many of them are in a batch already."""

    __slots__ = ("call", "entries", "sent", "size")

    def __init__(self, call: Call, entries: list[Entry], size: int) -> None:
        self.call, self.entries, self.size = call, entries, size
        self.sent = 0


class _Live:
    """A started producer of aiokafka, how much it has sent, and whether it still may."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self.client = client
        self.records: dict[Place, int] = {}
        self.on_their_way = 0
        self.retired = False

    @property
    def dead(self) -> bool:
        task = self.client._sender.sender_task
        return task is None or task.done()


class Producer:
    """`failpoint` and `now_ms` as in the bus; `on_error` hears of every failed batch."""

    def __init__(
        self,
        settings: KafkaSettings,
        cluster: Cluster,
        *,
        now_ms: Callable[[], int],
        on_error: Callable[[str], None] = lambda reason: None,
        records_per_producer: int = RECORDS_PER_PRODUCER,
    ) -> None:
        self.settings = settings
        self.cluster = cluster
        self.now_ms = now_ms
        self._on_error = on_error
        self.records_per_producer = records_per_producer
        self._lanes: dict[Place, _Lane] = {}
        self._live: _Live | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._not_before = 0.0
        self._refusal = ""
        self._closed = False
        self.waiting_bytes = 0
        #: How many producers were thrown away because something went wrong.
        self.discarded = 0

    async def send(self, portions: dict[Place, tuple[list[Entry], int]]) -> None:
        """Send, each place's entries in order, and wait until all are confirmed. The sizes are in bytes."""
        if self._closed:
            raise Transient("the bus is closed")
        if self.waiting_bytes > WAITING_BYTES:
            raise Transient(
                f"{self.waiting_bytes >> 20} MiB wait for Kafka already; nothing more is taken until brokers confirm "
                f"again (last: {self._refusal or 'no answer yet'})"
            )
        call = Call(len(portions))
        for place, (entries, size) in portions.items():
            lane = self._lanes.get(place)
            if lane is None:
                lane = self._lanes[place] = _Lane(self, place)
            self.waiting_bytes += size
            lane.add(_Portion(call, entries, size))
        timeout_s = self.settings.delivery_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await call.done
        except TimeoutError:
            raise self.unconfirmed(timeout_s) from None

    def unconfirmed(self, timeout_s: float) -> Transient:
        cause = f" ({self._refusal})" if self._refusal else ""
        return Transient(f"Kafka has not confirmed within {timeout_s:g} s: may or may not have been appended{cause}")

    async def start(self) -> None:
        """Start the producer now instead of with the first record."""
        await self.current()

    async def current(self) -> _Live:
        """Return the producer to use. Raises Transient when none can be started."""
        live = self._live
        if live is not None and not live.retired:
            if not live.dead:
                return live
            self.retire(live, "its sender has ended")
        async with self._starting:
            if self._live is None or self._live.retired:
                self._live = await self._start()
            return self._live

    async def _start(self) -> _Live:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise Transient("the bus is closed")
        if loop.time() < self._not_before:
            raise Transient(self._refusal)
        client = AIOKafkaProducer(
            **arguments(self.settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
        )
        tamed(client.client)
        try:
            await asyncio.wait_for(client.start(), self.settings.connect_timeout_s)
        except (TimeoutError, errors.KafkaError, OSError) as error:
            await stopped(client.stop(), "a producer that could not start")
            self._refusal = await cause(error, self.settings)
            self._not_before = loop.time() + RESTART_PAUSE_S
            raise Transient(self._refusal) from error
        except BaseException:
            await stopped(client.stop(), "a producer that was to start")
            raise
        self._refusal = ""
        return _Live(client)

    def retire(self, live: _Live, reason: str) -> None:
        """Use this producer no more; end it when nothing of it is on its way any longer."""
        if not live.retired:
            live.retired = True
            self.discarded += 1
            log.warning("the Kafka producer is replaced: %s", reason)
        if not live.on_their_way:
            self._end(live)

    def recycle(self, live: _Live) -> None:
        """Replace a producer that has sent as much as is good for it."""
        live.retired = True
        if not live.on_their_way:
            self._end(live)

    def _end(self, live: _Live) -> None:
        ending = asyncio.create_task(end(live.client), name="kafka-producer-end")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def failed(self, error: BaseException) -> LevadaError:
        """Return what the caller of a failed batch is told."""
        self.cluster.doubt()
        if isinstance(error, LevadaError):
            self._on_error(str(error))
            return error
        self._refusal = explain(error, self.settings)
        self._on_error(self._refusal)
        match error:
            case errors.MessageSizeTooLargeError():
                # No message is larger than our own limit, so it is the topic that is not as it must be.
                return Transient(
                    "a message is larger than the topic allows: raise max.message.bytes with `levada topics apply`, or "
                    "lower limits.message so that more goes to internal storage"
                )
            case errors.TopicAuthorizationFailedError() | errors.ClusterAuthorizationFailedError():
                user = self.settings.sasl_username
                return Transient(f"user `{user}` may not write ({error}): grant it Write and IdempotentWrite")
            case errors.KafkaError() | OSError():
                return Transient(f"Kafka refused a batch: {self._refusal}")
            case _:
                return Defect(f"sending to Kafka failed: {error!r}")

    async def close(self) -> None:
        """End the lanes and the producer; what waits raises."""
        self._closed = True
        for lane in self._lanes.values():
            lane.close()
        await asyncio.gather(*(lane.task for lane in self._lanes.values() if lane.task), return_exceptions=True)
        live, self._live = self._live, None
        if live is not None and not live.retired:
            await end(live.client)
        if self._ending:
            await asyncio.wait(self._ending, timeout=STOP_S)


class _Lane:
    """Sends the records of one partition, in order, one batch at a time."""

    def __init__(self, producer: Producer, place: Place) -> None:
        self._producer = producer
        self._place = place
        self._waiting: deque[_Portion] = deque()
        #: What is in the batch on its way; its last portion may also be first in `_waiting`, with the rest of its records.
        self._sending: list[_Portion] = []
        self.task: asyncio.Task[None] | None = None

    def add(self, portion: _Portion) -> None:
        self._waiting.append(portion)
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._drain(), name=f"kafka-lane-{self._place[0]}-{self._place[1]}")

    def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self._fail_all(Transient("the bus is closed: may or may not have been appended"))

    async def _drain(self) -> None:
        producer = self._producer
        try:
            while self._waiting:
                await producer.cluster.know(self._place[0])
                await self._flush(await producer.current())
        except LevadaError as error:
            self._fail_all(error)
        except asyncio.CancelledError:
            self._fail_all(Transient("appending was interrupted: may or may not have happened"))
            raise
        except Exception as error:
            self._fail_all(Defect(f"sending to Kafka failed: {error!r}"))
            raise

    async def _flush(self, live: _Live) -> None:
        """Send one batch and settle who is in it."""
        batch = self._fill(live.client)
        if not self._sending:
            return
        producer, place = self._producer, self._place
        sent = live.records[place] = live.records.get(place, 0) + batch.record_count()
        live.on_their_way += 1
        try:
            error = await self._deliver(live.client, batch)
        finally:
            live.on_their_way -= 1
        self._settle(error)
        if error is not None:
            producer.retire(live, str(error))
        elif live.retired or sent >= producer.records_per_producer:
            producer.recycle(live)

    async def _deliver(self, client: AIOKafkaProducer, batch: Any) -> LevadaError | None:
        """Send a batch and wait for it; return what went wrong."""
        timeout_s = self._producer.settings.delivery_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                confirmed = await client.send_batch(batch, self._place[0], partition=self._place[1])
                await confirmed
        except TimeoutError:
            return self._producer.failed(self._producer.unconfirmed(timeout_s))
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the callers that wait
            return self._producer.failed(error)
        return None

    def _fill(self, client: AIOKafkaProducer) -> Any:
        """Return a batch with as much in it as fits, and remember whose it is."""
        batch = client.create_batch()
        now_ms = self._producer.now_ms()
        append, waiting, sending = batch.append, self._waiting, self._sending
        while waiting:
            portion = waiting[0]
            if portion.call.done.done():  # given up by its caller, or another part of it failed: not sent any more
                self._leave(waiting.popleft())
                continue
            sending.append(portion)
            entries = portion.entries
            for index in range(portion.sent, len(entries)):
                key, value, headers = entries[index]
                if append(timestamp=now_ms, key=key, value=value, headers=headers) is None:
                    return batch
                portion.sent = index + 1
            waiting.popleft()
        return batch

    def _settle(self, error: LevadaError | None) -> None:
        """The batch is through: tell those that are whole, or all that had a part in it if it failed."""
        sending, self._sending = self._sending, []
        if error is not None and self._waiting and sending[-1] is self._waiting[0]:
            self._waiting.popleft()
        for portion in sending:
            if error is not None:
                self._leave(portion)
                portion.call.failed(error)
            elif portion.sent == len(portion.entries):
                self._leave(portion)
                portion.call.arrived()

    def _leave(self, portion: _Portion) -> None:
        self._producer.waiting_bytes -= portion.size

    def _fail_all(self, error: LevadaError) -> None:
        if self._sending:
            self._settle(error)
        while self._waiting:
            portion = self._waiting.popleft()
            self._leave(portion)
            portion.call.failed(error)


async def end(client: AIOKafkaProducer) -> None:
    """End a producer now, whatever it still wants to send. Never raises, never takes longer than a few seconds."""
    accumulator = client._message_accumulator
    waiting = [*accumulator._pending_batches, *(one for some in accumulator._batches.values() for one in some)]
    if waiting:
        accumulator.fail_all(errors.ProducerClosed())
        for batch in waiting:  # nobody waits for these any more; asyncio must not complain about that
            for future in (batch.future, batch._drain_waiter):
                if future.done() and not future.cancelled():
                    future.exception()
        accumulator._batches.clear()
        await stopped(client.client.close(), "the connections of a producer")
    await stopped(client.stop(), "a producer")
