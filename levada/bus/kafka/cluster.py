"""What is known about the cluster itself: which topics there are, where their logs begin and end, whether it answers.

The producer and the readers ask here before they use a topic, because aiokafka hangs for as long as its request timeout
when a topic is missing, and floods its log meanwhile. The connections made here serve questions only; a question that is
answered late never delays records.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient

from levada.bus.kafka.connection import KafkaSettings, arguments, cause, tamed
from levada.model.errors import Transient, UserError

log = logging.getLogger(__name__)

T = TypeVar("T")

STOP_S = 5.0
#: How long a question may take.
QUESTION_S = 5.0


class TopicMissing(Transient):
    """The topic is not there."""


class Cluster:
    """One per bus; connects when first asked."""

    def __init__(
        self, settings: KafkaSettings, partitions: int, make_again: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """`make_again` makes topics that are gone, for example because the brokers lost everything; None: a person does."""
        self._settings = settings
        self._partitions = partitions
        self._make_again = make_again
        self._known: set[str] = set()
        self._admin: AIOKafkaAdminClient | None = None
        self._asker: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()
        self._making = asyncio.Lock()

    async def know(self, topic: str) -> None:
        """Make sure that the topic (its full name) is there with the right number of partitions.

        Raises TopicMissing, UserError for a wrong number of partitions, Transient when the cluster does not answer.
        """
        if topic in self._known:
            return
        found = await self._ask(self._describe, topic)
        if found is None and self._make_again is not None:
            found = await self._made_again(topic, self._make_again)
        if found is None:
            raise TopicMissing(
                f"topic {topic} does not exist; make it with `levada topics apply` (brokers that make topics by "
                "themselves would make it with a wrong number of partitions)"
            )
        if found != self._partitions:
            raise UserError(
                f"topic {topic} has {found} partitions, but bus.partitions is {self._partitions}; the number is fixed once "
                f"an installation is in use: set bus.partitions to {found}, or, if nothing uses the topic yet, delete it "
                "and run `levada topics apply`"
            )
        self._known.add(topic)

    async def _made_again(self, topic: str, make_again: Callable[[], Awaitable[object]]) -> int | None:
        """Make what is gone, once for all who miss something at the same time; return the topic's partitions."""
        async with self._making:
            found = await self._ask(self._describe, topic)
            if found is None:
                log.warning("topic %s is gone; it is made again, with all others that are missing", topic)
                await make_again()
                found = await self._ask(self._describe, topic)
        return found

    def doubt(self) -> None:
        """Something went wrong: look at the topics again before they are used again."""
        self._known.clear()

    async def ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset after the last record; asks the leader of every partition."""
        places = [TopicPartition(topic, part) for part in partitions]
        found: dict[TopicPartition, int] = await self._ask(self._end_offsets, places)
        return {place.partition: offset for place, offset in found.items()}

    async def starts(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset of the first record that is still there."""
        places = [TopicPartition(topic, part) for part in partitions]
        found: dict[TopicPartition, int] = await self._ask(self._start_offsets, places)
        return {place.partition: offset for place, offset in found.items()}

    async def identity(self) -> tuple[str, int]:
        """Return the cluster's id and how many brokers it has now."""
        found: tuple[str, int] = await self._ask(self._identity)
        return found

    async def close(self) -> None:
        async with self._lock:
            await self._forget()

    async def _ask(self, question: Callable[..., Awaitable[T]], *about: Any) -> T:
        """Ask one question, on connections that are thrown away when it fails. Raises Transient with the cause."""
        async with self._lock:
            try:
                async with asyncio.timeout(QUESTION_S):
                    return await question(*about)
            except (TimeoutError, errors.KafkaError, OSError) as error:
                await self._forget()
                raise Transient(await cause(error, self._settings)) from error
            except asyncio.CancelledError:
                await self._forget()  # a client that is half-way started answers nobody ever
                raise

    async def _describe(self, topic: str) -> int | None:
        """Return how many partitions a topic has, None if it does not exist."""
        admin = await self._admin_client()
        (found,) = await admin.describe_topics([topic])
        match found["error_code"]:
            case 0:
                return len(found["partitions"])
            case 3:  # UNKNOWN_TOPIC_OR_PARTITION
                return None
            case 29:  # TOPIC_AUTHORIZATION_FAILED
                raise Transient(
                    f"user `{self._settings.sasl_username}` may not see topic {topic}: grant it Describe, Read and Write"
                )
            case code:
                raise errors.for_code(code)(f"topic {topic}")

    async def _end_offsets(self, places: list[TopicPartition]) -> Any:
        return await (await self._offset_client()).end_offsets(places)

    async def _start_offsets(self, places: list[TopicPartition]) -> Any:
        return await (await self._offset_client()).beginning_offsets(places)

    async def _identity(self) -> tuple[str, int]:
        found = await (await self._admin_client()).describe_cluster()
        return found["cluster_id"] or "", len(found["brokers"])

    async def _admin_client(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            made = AIOKafkaAdminClient(**arguments(self._settings))
            tamed(made._client)
            self._admin = made  # kept before it starts: whatever happens, `_forget` ends it
            await made.start()
        return self._admin

    async def _offset_client(self) -> AIOKafkaConsumer:
        if self._asker is None:
            made = AIOKafkaConsumer(**arguments(self._settings), enable_auto_commit=False)
            tamed(made._client)
            self._asker = made
            await made.start()
        return self._asker

    async def _forget(self) -> None:
        admin, self._admin = self._admin, None
        asker, self._asker = self._asker, None
        if admin is not None:
            await stopped(admin.close(), "the client for topics")
        if asker is not None:
            await stopped(asker.stop(), "the client for offsets")


async def stopped(stop: Awaitable[Any], what: str) -> None:
    """Wait for a client of aiokafka to end, but not for long: with brokers away that might be never."""
    try:
        await asyncio.wait_for(stop, STOP_S)
    except (TimeoutError, errors.KafkaError, OSError, AttributeError, AssertionError, KeyError) as error:
        log.info("%s was left behind while it stopped: %r", what, error)
