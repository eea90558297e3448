"""The topics of an installation: what they should be, what they are, and how to get there.

`wanted` says what there should be, `difference` compares (both pure), `Topics` asks and tells the cluster. Only what is
missing is made and only settings of ours are changed: never the number of partitions (keys would move to other partitions)
and never replicas (that moves data). Those are reported with what a person can do.

Answers of Kafka's admin interface are no exceptions: each carries a code of its own, and each is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from levada.bus.kafka.cluster import QUESTION_S, stopped
from levada.bus.kafka.connection import KafkaSettings, arguments, cause, reach, tamed
from levada.bus.port import CONTROL, INLINE_LIMIT_BYTES, TOPICS
from levada.model.errors import Transient, UserError

HOUR_S = 3600.0
#: What a message may have beyond its body: key, headers, the frame of its batch.
ROOM_BYTES = 64 * 1024
BATCH_BYTES = 1024 * 1024

#: How long news of a new topic may take to reach all brokers: tries, and the pause between them.
SPREAD_TRIES, SPREAD_S = 25, 0.2

UNKNOWN_TOPIC = 3
ALREADY_EXISTS = 36
HINTS = {
    17: " (letters, digits, `.`, `_` and `-` only: correct kafka.topic_prefix)",
    29: " (ask for Create, Alter and DescribeConfigs on these topics)",
    31: " (ask for Create, Alter and DescribeConfigs on these topics)",
}
#: A topic's own setting, in the answer to a question for settings (not the broker's default).
TOPIC_SOURCE = 1


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be or as it is. `settings` holds at least those that are ours."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str] = field(default_factory=dict)


class Kind(Enum):
    MISSING = "missing"
    SETTING = "setting"
    PARTITIONS = "partitions"
    REPLICATION = "replication"


@dataclass(frozen=True, slots=True)
class Difference:
    """`apply` can mend the first two kinds; the others need a person, whom `remedy` tells what to do."""

    topic: str
    kind: Kind
    what: str
    is_now: str
    should_be: str
    remedy: str = ""

    @property
    def mendable(self) -> bool:
        return self.kind in (Kind.MISSING, Kind.SETTING)


def wanted(settings: KafkaSettings, partitions: int, message_limit: int = INLINE_LIMIT_BYTES) -> list[Topic]:
    """Return the topics that an installation needs. `message_limit` is the largest body sent inline, in bytes."""
    replication = settings.replication_factor
    common = {
        "cleanup.policy": "delete",
        "max.message.bytes": str(max(BATCH_BYTES, message_limit) + ROOM_BYTES),
        # The broker's clock: a client whose clock is off could not write, or its records would be kept too long.
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(min(2, max(1, replication - 1))),
        "unclean.leader.election.enable": "false",
    }
    topics = []
    for name in TOPICS:
        retention_s = min(HOUR_S, settings.retention_s) if name == CONTROL else settings.retention_s
        own = {**common, "retention.ms": str(int(retention_s * 1000))}
        topics.append(Topic(settings.topic_prefix + name, partitions, replication, own))
    return topics


def difference(should_be: Iterable[Topic], is_now: Mapping[str, Topic]) -> list[Difference]:
    """Return what is missing or different, in the order of the topics."""
    return [one for topic in should_be for one in _differences(topic, is_now.get(topic.name))]


def _differences(topic: Topic, found: Topic | None) -> list[Difference]:
    if found is None:
        shape = f"{topic.partitions} partitions, {topic.replication} replicas"
        return [Difference(topic.name, Kind.MISSING, "topic", "", shape, "levada topics apply")]
    differences = []
    if found.partitions != topic.partitions:
        differences.append(
            Difference(
                topic.name,
                Kind.PARTITIONS,
                "partitions",
                str(found.partitions),
                str(topic.partitions),
                f"the number is fixed once an installation is in use: set bus.partitions to {found.partitions}, or, if nothing "
                "uses the topic yet, delete it and run `levada topics apply`",
            )
        )
    if found.replication != topic.replication:
        differences.append(
            Difference(
                topic.name,
                Kind.REPLICATION,
                "replicas",
                str(found.replication),
                str(topic.replication),
                f"set kafka.replication_factor to {found.replication}, or move the replicas with kafka-reassign-partitions",
            )
        )
    for name, value in topic.settings.items():
        now = found.settings.get(name, "")
        if now != value:
            differences.append(Difference(topic.name, Kind.SETTING, name, now, value, "levada topics apply"))
    return differences


class _NotKnownYet(Transient):
    """A broker has not heard of a topic yet."""


class Topics:
    """Asks and changes the cluster. `async with`; entering raises Transient with the cause when it is away."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin: AIOKafkaAdminClient | None = None

    async def __aenter__(self) -> Self:
        await reach(self._settings)
        self._admin = AIOKafkaAdminClient(**arguments(self._settings))
        tamed(self._admin._client)
        try:
            await self._admin.start()
        except (errors.KafkaError, OSError) as error:
            await self.__aexit__()
            raise Transient(await cause(error, self._settings)) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._admin is not None:
            await stopped(self._admin.close(), "the client for topics")

    async def plan(self, should_be: Sequence[Topic]) -> list[Difference]:
        """Return what is missing or different. Raises Transient when the cluster does not answer."""
        return difference(should_be, await self._found([topic.name for topic in should_be]))

    async def apply(self, should_be: Sequence[Topic], *, only_missing: bool = False) -> list[Difference]:
        """Make what is missing, change settings that differ (unless `only_missing`); return what was done.

        Raises UserError when the cluster refuses, Transient when it has too few brokers as yet, naming what would help.
        """
        kinds = (Kind.MISSING,) if only_missing else (Kind.MISSING, Kind.SETTING)
        planned = [one for one in await self.plan(should_be) if one.kind in kinds]
        missing = {one.topic for one in planned if one.kind is Kind.MISSING}
        changed = {one.topic for one in planned if one.kind is Kind.SETTING}
        if missing:
            await self._make([topic for topic in should_be if topic.name in missing])
        if changed:
            await self._change([topic for topic in should_be if topic.name in changed])
        return planned

    async def _make(self, topics: Sequence[Topic]) -> None:
        brokers = len((await self._ask("describe_cluster"))["brokers"])
        wanted = max(topic.replication for topic in topics)
        if wanted > brokers:
            raise Transient(
                f"kafka.replication_factor is {wanted}, but the cluster has {brokers} broker(s): set it to {brokers} or less "
                "(LEVADA_KAFKA_REPLICATION_FACTOR), or wait until all brokers are up"
            )
        new = [
            NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=dict(topic.settings))
            for topic in topics
        ]
        answer = await self._ask("create_topics", new)
        for name, code, *detail in answer.topic_errors:
            if code not in (0, ALREADY_EXISTS):  # another process may have been faster
                raise UserError(f"topic {name} could not be made: {_said(code, detail)}")

    async def _change(self, topics: Sequence[Topic]) -> None:
        """Set our settings and keep the topics' other ones: Kafka takes the whole list or forgets the rest."""
        own = await self._settings_of([topic.name for topic in topics], only_own=True)
        resources = [
            ConfigResource(ConfigResourceType.TOPIC, topic.name, configs={**own[topic.name], **topic.settings})
            for topic in topics
        ]
        for answer in await self._ask("alter_configs", resources):
            for code, message, _, name in answer.resources:
                if code == UNKNOWN_TOPIC:
                    raise _NotKnownYet(f"a broker has not heard of topic {name} yet")
                if code:
                    raise UserError(f"the settings of topic {name} could not be changed: {_said(code, [message])}")

    async def _found(self, names: Sequence[str]) -> dict[str, Topic]:
        found = {}
        for one in await self._ask("describe_topics", list(names)):
            code, name = one["error_code"], one["topic"]
            if code == UNKNOWN_TOPIC:
                continue
            if code:
                raise UserError(f"topic {name} could not be read: {_said(code, [])}")
            replication = min((len(part["replicas"]) for part in one["partitions"]), default=0)
            found[name] = Topic(name, len(one["partitions"]), replication)
        settings = await self._spread(list(found))
        return {name: Topic(name, one.partitions, one.replication, settings[name]) for name, one in found.items()}

    async def _spread(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the settings in force of topics that exist, though one was made a moment ago and not all brokers know it."""
        for _ in range(SPREAD_TRIES):
            try:
                return await self._settings_of(names, only_own=False)
            except _NotKnownYet:
                await asyncio.sleep(SPREAD_S)
        return await self._settings_of(names, only_own=False)

    async def _settings_of(self, names: Sequence[str], *, only_own: bool) -> dict[str, dict[str, str]]:
        """Return the settings in force, or only those set for the topic itself."""
        if not names:
            return {}
        found: dict[str, dict[str, str]] = {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        for answer in await self._ask("describe_configs", resources):
            for code, message, _, name, entries in answer.resources:
                if code == UNKNOWN_TOPIC:
                    raise _NotKnownYet(f"a broker has not heard of topic {name} yet")
                if code:
                    raise UserError(f"the settings of topic {name} could not be read: {_said(code, [message])}")
                found[name] = {
                    key: value for key, value, _, source, *_ in entries if not only_own or source == TOPIC_SOURCE
                }
        return found

    async def _ask(self, method: str, *about: Any) -> Any:
        assert self._admin is not None
        try:
            async with asyncio.timeout(2 * QUESTION_S):
                return await getattr(self._admin, method)(*about)
        except (TimeoutError, errors.KafkaError, OSError) as error:
            raise Transient(await cause(error, self._settings)) from error


def _said(code: int, detail: Sequence[str | None]) -> str:
    """Return what the broker said: its message, or the name of its code."""
    said = next((text for text in detail if text), None) or errors.for_code(code).__name__
    return f"{said} [{code}]{HINTS.get(code, '')}"
