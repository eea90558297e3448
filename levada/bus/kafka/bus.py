"""The bus over Kafka.

There is no consumer group: which process reads which partition is decided in Postgres, so positions come from there too and
nothing is ever committed to Kafka (`publish_offsets` writes them there for those who measure lag, and nobody reads them
back). Partitions are chosen here, by the same rule as in every adapter. Appending is `producer.py`, reading `reader.py`.

A large body goes to internal storage and travels as a reference. Each record names the installation that wrote it; what
another one wrote is left out, counted and complained about, because two deployments share a topic prefix by mistake.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from levada.bus.kafka import envelope, quiet
from levada.bus.kafka.blobs import BlobMissing, BlobStore, name_of
from levada.bus.kafka.cluster import Cluster
from levada.bus.kafka.connection import KafkaSettings, arguments, reach
from levada.bus.kafka.envelope import Opened
from levada.bus.kafka.lag import LagReport
from levada.bus.kafka.producer import Entry, Place, Producer
from levada.bus.kafka.reader import Reader
from levada.bus.port import INLINE_LIMIT_BYTES, TOPICS, Outgoing, Record, partition_of
from levada.model.errors import Transient, UserError

log = logging.getLogger(__name__)

#: Largest body that is sent inline where there is no internal storage to put it.
WITHOUT_STORAGE_BYTES = 900 * 1024
BACKOFF_S = (0.1, 0.2, 0.5, 1.0)
COMPLAINT_S = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """What the bus knows of Kafka without asking. `error` is the last one, None since something worked again."""

    error: str | None
    #: Producers and consumers thrown away because something was wrong with them.
    rebuilds: int
    #: Records of another installation that were left out.
    foreign: int
    #: Bytes that wait to be confirmed.
    waiting: int
    #: Times that another installation wrote to the group of ours by which lag is measured.
    shared: int


class KafkaBus:
    """One per process; `start` before use. Several topics may be polled at a time, and one topic several times."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        partitions: int,
        installation: str,
        now_us: Callable[[], int],
        blobs: BlobStore | None = None,
        message_limit: int = INLINE_LIMIT_BYTES,
        failpoint: Callable[[str], None] = lambda _: None,
        make_again: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`message_limit` in bytes: larger bodies go to `blobs`. `installation` is not the same for two deployments.

        `make_again` makes topics that are gone while we run; without it they are waited for.
        """
        self._settings = settings
        self._partitions = partitions
        self._installation = installation
        self._now_us = now_us
        self._blobs = blobs
        self._limit = message_limit if blobs is not None else WITHOUT_STORAGE_BYTES
        self._failpoint = failpoint
        self._cluster = Cluster(settings, partitions, make_again)
        self._producer = Producer(settings, self._cluster, now_ms=lambda: now_us() // 1000, on_error=self._wrong)
        self._lag = LagReport(settings, installation)
        self._readers: dict[str, list[Reader]] = {}
        self._closed = asyncio.Event()
        self._error: str | None = None
        self._foreign = 0
        self._complained = -COMPLAINT_S
        #: When a record of another installation came last, and whose it was.
        self._stranger: tuple[float, str] | None = None
        quiet.install()

    @property
    def partitions(self) -> int:
        return self._partitions

    async def start(self) -> None:
        """Connect and check every topic.

        Tries for `connect_timeout_s`. Raises Transient that names the cause and the remedy, UserError for settings that can
        not work (files that are no certificates, a topic with another number of partitions).
        """
        arguments(self._settings)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.connect_timeout_s
        for attempt in range(1_000_000):
            try:
                await reach(self._settings)
                for topic in TOPICS:
                    await self._cluster.know(self._name(topic))
                await self._producer.start()
            except Transient as error:
                self._wrong(str(error))
                pause_s = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
                if loop.time() + pause_s > until:
                    raise
                await asyncio.sleep(pause_s)
            else:
                self._error = None
                return

    # --- appending

    async def append(self, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        if self._closed.is_set():
            raise Transient("the bus is closed")
        self._failpoint("bus.before_append")
        try:
            await self._producer.send(await self._portions(records))
        except Transient as error:
            self._wrong(str(error))
            raise
        self._error = None
        self._failpoint("bus.after_append")

    async def _portions(self, records: Sequence[Outgoing]) -> dict[Place, tuple[list[Entry], int]]:
        """Group the records by partition, in order, with the bytes of each group."""
        shared = envelope.meta(self._installation, self._now_us())
        entries: dict[Place, list[Entry]] = {}
        sizes: dict[Place, int] = {}
        for record in records:
            body, blob = record.body, None
            if len(body) > self._limit:
                blob = await self._put(record)
                body = b""
            place = (self._name(record.topic), partition_of(record.key, self._partitions))
            key, headers = record.key.encode(), envelope.wrap(shared, record.id, record.headers, blob)
            entries.setdefault(place, []).append((key, body, headers))
            sizes[place] = sizes.get(place, 0) + envelope.size_of(key, body, headers)
        return {place: (some, sizes[place]) for place, some in entries.items()}

    async def _put(self, record: Outgoing) -> envelope.Blob:
        if self._blobs is None:
            raise UserError(
                f"a message of {len(record.body)} bytes is larger than what one may have without internal storage, "
                f"{self._limit} bytes"
            )
        reference = await self._blobs.put(name_of(record.topic, record.body), record.body)
        return envelope.Blob(len(record.body), reference)

    # --- reading

    async def poll(
        self, topic: str, positions: Mapping[int, int], *, max_records: int, max_bytes: int, timeout_s: float
    ) -> list[Record]:
        if not positions or self._closed.is_set():
            await self._idle(timeout_s)
            return []
        reader = self._reader(topic, positions)
        reader.busy = True
        try:
            found = await reader.read(positions, max_records=max_records, max_bytes=max_bytes, timeout_s=timeout_s)
            records = [record if blob is None else await self._fetched(record, blob) for record, blob in found]
            reader.told(found)
        except Transient as error:
            if self._closed.is_set():
                return []
            self._wrong(str(error))
            raise
        finally:
            reader.busy = False
        self._error = None
        return records

    def _reader(self, topic: str, positions: Mapping[int, int]) -> Reader:
        """Return a free reader of the topic, best one that has these partitions already."""
        readers = self._readers.setdefault(topic, [])
        free = [reader for reader in readers if not reader.busy]
        for reader in free:
            if reader.partitions == positions.keys():
                return reader
        if free:
            return free[0]
        made = Reader(
            self._settings,
            self._cluster,
            self._name(topic),
            self._opener(topic),
            name=topic,
            monotonic=asyncio.get_running_loop().time,
        )
        readers.append(made)
        return made

    def _opener(self, topic: str) -> Callable[[ConsumerRecord], Opened | None]:
        open_it = envelope.Opener(topic, self._installation)

        def opened(raw: ConsumerRecord) -> Opened | None:
            try:
                return open_it(raw)
            except envelope.Foreign as other:
                self._complain(topic, raw, str(other))
                return None

        return opened

    async def _fetched(self, record: Record, blob: envelope.Blob) -> Record:
        """Return the record with its body. Raises Transient when internal storage is away."""
        if self._blobs is None:
            return envelope.marked(
                record, f"its body is in internal storage ({blob.reference}), and there is none here"
            )
        try:
            body = await self._blobs.read(blob.reference)
        except BlobMissing:
            log.error("%s/%s/%s: its body %s is gone", record.topic, record.partition, record.offset, blob.reference)
            return envelope.marked(record, f"its body {blob.reference} is not in internal storage any more")
        return envelope.filled(record, body)

    def _complain(self, topic: str, raw: ConsumerRecord, other: str) -> None:
        """Count a record of another installation; say so at once, then once a minute."""
        self._foreign += 1
        now = asyncio.get_running_loop().time()
        self._stranger = (now, other)
        if now - self._complained >= COMPLAINT_S:
            self._complained = now
            log.error(
                "record %s/%s of %s was written by installation `%s`, we are `%s`: it is left out (%s so far). Two "
                "deployments use the same topics: give one of them another kafka.topic_prefix, run `levada topics apply` for "
                "it and then `levada reconcile`, which sends again what may have been left out on the other side",
                raw.partition,
                raw.offset,
                self._name(topic),
                other,
                self._installation,
                self._foreign,
            )

    async def ends(self, topic: str) -> dict[int, int]:
        name = self._name(topic)
        try:
            await self._cluster.know(name)
            return await self._cluster.ends(name, range(self._partitions))
        except Transient as error:
            self._wrong(str(error))
            raise

    async def trim(self, topic: str, positions: Mapping[int, int]) -> None:
        """Nothing to do: retention is the brokers' (kafka.retention), and others may still read what we have read."""

    # --- around it

    async def publish_offsets(self, group: str, positions: Mapping[str, Mapping[int, int]]) -> None:
        """Commit positions (topic → partition → offset) to a group, for those who measure lag.

        Never raises: a metric must not stop anything. The group's name has the prefix of topics as well.
        """
        named = {self._name(topic): parts for topic, parts in positions.items()}
        await self._lag.publish(self._settings.topic_prefix + group, named)

    async def check(self) -> None:
        """Ask the cluster whether it is there. Raises Transient with the cause."""
        try:
            await self._cluster.identity()
        except Transient as error:
            self._wrong(str(error))
            raise
        self._error = None

    def health(self) -> Health:
        readers = [reader for some in self._readers.values() for reader in some]
        rebuilds = self._producer.discarded + sum(reader.pulse.rebuilds for reader in readers)
        return Health(self._error, rebuilds, self._foreign, self._producer.waiting_bytes, self._lag.shared)

    def neighbour(self, within_s: float) -> str | None:
        """Return the id of another installation that used our topics or groups within the last seconds, if one did."""
        seen = [one for one in (self._stranger, self._lag.stranger) if one is not None]
        at, other = max(seen, default=(-within_s, ""))
        return other if asyncio.get_running_loop().time() - at <= within_s and other else None

    def describe(self) -> str:
        """Return one line for people: the cluster, and what is wrong with it if anything is."""
        servers = ",".join(self._settings.bootstrap_servers)
        return f"Kafka at {servers}" + (f": {self._error}" if self._error else "")

    async def close(self) -> None:
        """Let waiting readers go, fail what is not confirmed, and end every connection, within some seconds."""
        self._closed.set()
        await asyncio.gather(*(reader.close() for some in self._readers.values() for reader in some))
        await self._producer.close()
        await self._lag.close()
        await self._cluster.close()

    def _name(self, topic: str) -> str:
        return self._settings.topic_prefix + topic

    def _wrong(self, reason: str) -> None:
        self._error = reason

    async def _idle(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._closed.wait(), seconds)
        except TimeoutError:
            return
