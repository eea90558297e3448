"""poison: messages that nobody can understand, on every topic, amid load (R11).

The messages are drawn by the seed from kinds that have names (`KINDS`): noise, real messages that were cut or had bits
turned, JSON of the wrong shape, tags of the future, and, on Kafka, records without Levada's envelope, with a newer one,
without a body. What has to become of each is said in advance:

    dead letter   exactly one, at the message's own topic, partition and offset, with its body
    no effect     it can be read, but speaks of an execution that does not exist: nothing may come of it but a line in a
                  log of nobody, or a dead letter where the table does not take that line
    unread        topic `control`: hints that nobody stores

Afterwards every partition must be read to its end, and the oracle must find every healthy execution as it should be. Some
commands are well-formed and absurd, for executions that exist for this purpose: these fail visibly, and nobody else does.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from msgspec import json

from levada.bus.port import AUDIT, CHANGES, COMMANDS, CONTROL, LOGS, METRICS, TOPICS, Outgoing, partition_of
from levada.bus.postgres import PostgresBus
from levada.database import Database
from levada.model import commands as cmd
from levada.model.audit import AuditEntry, Outcome
from levada.model.jobs import LogEntry, MetricEntry
from levada.store.records import IndexBatch
from levada_indexer.reading import READERS
from reliability import history
from reliability.fleet import Services
from reliability.report import Report
from reliability.trial import Trial
from reliability.workload import NAMESPACE

PARTITIONS = 8
SICK = 10
"""Executions that get absurd commands."""

SICK_FLOW = "sick"
SICK_SOURCE = f"id: {SICK_FLOW}\nnamespace: {NAMESPACE}\ntasks:\n  - id: wait\n    type: core.flow.Pause\n"
BATCH = 50
REST_S = 60.0
STRANGER = "0poison"
"""How the ids of executions begin that do not exist."""

DEAD, NOTHING, UNREAD = "dead letter", "no effect", "unread"
Headers = list[tuple[str, bytes]]


@dataclass
class Message:
    """`expected` is what has to become of it; `part` and `off` are known once it was sent."""

    kind: str
    topic: str
    key: bytes
    body: bytes | None
    headers: Headers | None = None
    expected: str = ""
    part: int = -1
    off: int = -1


# --- what is sent


def _genuine(chance: random.Random, topic: str, id_: str) -> bytes:
    """Return the body of a message as the product writes it, about something that does not exist."""
    now = int(time.time() * 1e6)
    if topic == COMMANDS:
        command = chance.choice(
            (
                cmd.KillExecution(execution_id=id_),
                cmd.ResumeExecution(execution_id=id_),
                cmd.SetLabels(execution_id=id_, labels=[("a", "b")]),
                cmd.TimerFired(execution_id=id_, seq=3, kind="retry", task_run_id="t"),
                cmd.TaskStarted(execution_id=id_, task_run_id="t", attempt=1, token="x", worker="w", at=now),
                cmd.WorkerLost(execution_id=id_, task_run_id="t", attempt=1),
            )
        )
        return cmd.encode(command)
    whose: dict[str, Any] = {"execution_id": id_, "namespace": NAMESPACE, "flow_id": "quick", "at": now}
    match topic:
        case "logs":
            return json.encode([LogEntry(**whose, level="INFO", message="poison")])
        case "metrics":
            return json.encode(
                [MetricEntry(**whose, task_id="t", task_run_id="r", name="n", kind="counter", value=1.0)]
            )
        case "audit":
            return json.encode(
                [AuditEntry(id=id_, at=now, who="poison", action="update", kind="flow", outcome=Outcome.DONE)]
            )
        case _:
            return json.encode({"executionId": id_, "state": "RUNNING", "terminal": False, "at": now})


def _noise(chance: random.Random, genuine: bytes) -> bytes:
    return chance.randbytes(chance.randrange(1, 400))


def _empty(chance: random.Random, genuine: bytes) -> bytes:
    return b""


def _cut(chance: random.Random, genuine: bytes) -> bytes:
    return genuine[: chance.randrange(1, len(genuine))]


def _turned(chance: random.Random, genuine: bytes) -> bytes:
    """Some bits are not what they were."""
    body = bytearray(genuine)
    for _ in range(chance.randrange(1, 6)):
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    return bytes(body)


def _doubled(chance: random.Random, genuine: bytes) -> bytes:
    return genuine + chance.choice((genuine, b"\0", b",", b"]"))


def _shapeless(chance: random.Random, genuine: bytes) -> bytes:
    """JSON, and not what it should be."""
    return chance.choice(
        (
            b"null", b"7", b'"text"', b"true", b"[[]]", b"[1,2,3]", b'{"type":5}', b'{"type":null}', b"{}",
            b'{"type":"kill_execution"}', b'{"type":"kill_execution","execution_id":7}', b"[null]", b'[{"at":"never"}]',
            b'{"type":"task_finished","execution_id":"x","task_run_id":"t","attempt":"one"}', b"1e999", b"-0", b"NaN",
        )
    )  # fmt: skip


def _deep(chance: random.Random, genuine: bytes) -> bytes:
    """Brackets within brackets, deeper than a reader may follow."""
    depth = chance.choice((1_000, 20_000, 100_000))
    return chance.choice((b"[", b'{"a":')) * depth


def _future(chance: random.Random, genuine: bytes) -> bytes:
    return b'{"type":"from_the_future_%d","execution_id":"%s"}' % (chance.randrange(99), STRANGER.encode())


def _not_text(chance: random.Random, genuine: bytes) -> bytes:
    """Bytes that are no UTF-8 where there should be text, or text that no table takes."""
    return genuine.replace(b'"', chance.choice((b'"\xff\xfe', b'"\xed\xa0\x80', b'"\x00')), 3)


def _large(chance: random.Random, genuine: bytes) -> bytes:
    return genuine[:-1] + b" " * chance.randrange(50_000, 200_000)


KINDS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "noise": _noise,
    "nothing": _empty,
    "cut short": _cut,
    "bits turned": _turned,
    "more than one": _doubled,
    "wrong shape": _shapeless,
    "too deep": _deep,
    "of the future": _future,
    "no text": _not_text,
    "large": _large,
}
RARE = {"too deep": 0.02, "large": 0.02}
"""Kinds that are large themselves: how often one is kept when it was drawn."""

#: On Kafka anybody can write anything: records around which something is wrong.
WRAPPED = ("no envelope", "newer envelope", "broken envelope", "no body", "strange key")


def draw(chance: random.Random, number: int, *, kafka: bool, installation: str, topics: Sequence[str]) -> Message:
    """Return the message with this number."""
    topic = topics[number % len(topics)]
    id_ = f"{STRANGER}{number:010d}"
    kind = chance.choice(list(KINDS))
    if chance.random() > RARE.get(kind, 1.0):
        kind = "bits turned"
    genuine = _genuine(chance, topic, id_)
    message = Message(kind, topic, id_.encode(), KINDS[kind](chance, genuine))
    if kafka:
        message.headers = [("levada", f"1/{int(time.time() * 1e6)}/{installation}".encode())]
        if chance.random() < 0.3:
            _wrap(message, chance, genuine)
    message.expected = _expected(message)
    return message


def _wrap(message: Message, chance: random.Random, genuine: bytes) -> None:
    """Make a message that is wrong on the outside; inside it may be right."""
    message.kind = chance.choice(WRAPPED)
    message.body = genuine
    if message.kind == "no envelope":
        message.headers = []
    elif message.kind == "newer envelope":
        message.headers = [("levada", b"2/1/main"), ("more", b"x")]
    elif message.kind == "broken envelope":
        message.headers = [("levada", chance.choice((b"", b"1", b"1/x", b"x/y/z", b"\xff\xff")))]
    elif message.kind == "no body":
        message.body = None
    else:
        message.body = chance.randbytes(40)
        message.key = chance.choice((b"", b"\xff\xfe\xfd", b"a\x00b", message.key * 200))


def _expected(message: Message) -> str:
    if message.topic == CONTROL:
        return UNREAD
    if message.kind in WRAPPED:
        return DEAD
    return NOTHING if _can_be_read(message.topic, message.body or b"") else DEAD


def _can_be_read(topic: str, body: bytes) -> bool:
    try:
        if topic == COMMANDS:
            cmd.decode(body)
        else:
            READERS[topic](IndexBatch(topic=topic, epochs={}, positions={}), body)
    except (ValueError, RecursionError):
        return False
    return True


# --- how it is sent


class PostgresMouth:
    """Puts messages on the bus that is in Postgres."""

    installation = ""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def open(self) -> None:
        self._database = await Database.open(self._dsn, size=2)
        self._bus = PostgresBus(self._database, now_us=lambda: time.time_ns() // 1000, partitions=PARTITIONS)

    async def send(self, messages: Sequence[Message]) -> None:
        await self._bus.append([Outgoing(one.topic, one.key.decode(), one.body or b"") for one in messages])

    async def where(self, messages: Sequence[Message]) -> None:
        """Find out where they are: every key is used once, but the product may answer under it, on the same topic too."""
        rows = await asyncio.to_thread(
            history.fetch,
            self._dsn,
            "SELECT topic, key, body, part, off FROM bus_log WHERE key LIKE $1",
            f"{STRANGER}%",
        )
        places = {(topic, key, bytes(body)): (part, off) for topic, key, body, part, off in rows}
        for one in messages:
            one.part, one.off = places[one.topic, one.key.decode(), one.body or b""]

    async def close(self) -> None:
        await self._bus.close()
        await self._database.close()


class KafkaMouth:
    """Writes records to Kafka as any stranger could."""

    def __init__(self, bootstrap: str, installation: str) -> None:
        self._bootstrap = bootstrap
        self.installation = installation

    async def open(self) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, linger_ms=5, max_request_size=4 * 2**20)
        await self._producer.start()

    async def send(self, messages: Sequence[Message]) -> None:
        sent = [
            await self._producer.send(one.topic, one.body, one.key, partition=_part(one.key), headers=one.headers)
            for one in messages
        ]
        for one, done in zip(messages, sent, strict=True):
            place = await done
            one.part, one.off = place.partition, place.offset

    async def where(self, messages: Sequence[Message]) -> None:
        """They are where the brokers said."""

    async def close(self) -> None:
        await self._producer.stop()


def _part(key: bytes) -> int:
    return partition_of(key.decode(errors="replace"), PARTITIONS)


Mouth = PostgresMouth | KafkaMouth


# --- the harness


async def run(trial: Trial, count: int, seconds: float, report: Report) -> Report:
    """Send so many messages over so many seconds on a cluster under load, and fill the report in."""
    fleet = trial.fleet
    assert isinstance(fleet, Services), "a single process reads its bus alone; nobody else can write there"
    kafka = "kafka" in fleet.can
    async with trial:
        mouth = await _mouth(fleet, kafka)
        await mouth.open()
        try:
            fault = trial.faults.begin("poison", "bus")
            await trial.put(SICK_SOURCE)
            sick = await _start_sick(fleet.urls[0])
            messages = await _feed(mouth, trial.seed, count, seconds, kafka)
            await _make_sick(mouth, sick, kafka)
            trial.faults.end(fault)
            await mouth.where(messages)
        finally:
            await mouth.close()
        died = [name for name in fleet.names() if not fleet.alive(name)]
        await trial.calm()
        stopped = await _stopped(fleet, kafka)
        ended = await _states(fleet.dsn)
        dead = await asyncio.to_thread(
            history.fetch, fleet.dsn, "SELECT topic, part, off, body FROM dead_letter ORDER BY id"
        )
        strangers = await asyncio.to_thread(
            history.fetch, fleet.dsn, "SELECT id, flow_id, state FROM execution WHERE id LIKE $1", f"{STRANGER}%"
        )
    report.violations = [str(violation) for violation in trial.violations]
    report.figures = trial.figures
    _judge(messages, dead, report)
    report.violations += [f"an execution came of poison: {row[0]} of {row[1]} is {row[2]}" for row in strangers]
    report.figures["executions with absurd commands, now FAILED"] = f"{ended.get('FAILED', 0)} of {len(sick)}"
    report.goals["nothing lost"] = report.figures["lost"] == 0
    report.goals["nothing doubled"] = report.figures["doubled"] == 0
    report.goals[f"no process needs a restart{f' (died: {died})' if died else ''}"] = not died
    report.goals[f"no partition has stopped{f' ({stopped})' if stopped else ''}"] = not stopped
    report.goals["what got absurd commands failed visibly"] = ended.get("FAILED", 0) == len(sick)
    return report


async def _mouth(fleet: Services, kafka: bool) -> Mouth:
    """Return what speaks to the fleet's bus; on Kafka in the name of its installation, others are not listened to."""
    if not kafka:
        return PostgresMouth(fleet.dsn)
    ((installation,),) = await asyncio.to_thread(history.fetch, fleet.dsn, "SELECT id FROM installation")
    return KafkaMouth(fleet.cluster.bootstrap or "", installation)


async def _feed(mouth: Mouth, seed: int, count: int, seconds: float, kafka: bool) -> list[Message]:
    """Send the messages evenly over the time."""
    chance, topics = random.Random(seed), TOPICS
    messages: list[Message] = []
    begun = time.monotonic()
    while len(messages) < count:
        batch = [
            draw(chance, len(messages) + n, kafka=kafka, installation=mouth.installation, topics=topics)
            for n in range(min(BATCH, count - len(messages)))
        ]
        await mouth.send(batch)
        messages += batch
        await asyncio.sleep(max(begun + seconds * len(messages) / count - time.monotonic(), 0.0))
    return messages


async def _start_sick(url: str) -> list[str]:
    ids: list[str] = []
    deadline = time.monotonic() + REST_S
    async with aiohttp.ClientSession(url) as session:
        while len(ids) < SICK:
            async with session.post(f"/api/v1/main/executions/{NAMESPACE}/{SICK_FLOW}") as answer:
                if answer.ok:
                    ids.append((await answer.json())["id"])
                    continue
            assert time.monotonic() < deadline, "the flow that is to get absurd commands can not be started"
            await asyncio.sleep(0.3)
    return ids


async def _make_sick(mouth: Mouth, ids: Sequence[str], kafka: bool) -> None:
    """Send each a command that can be read and at which the engine must stop."""
    headers: Headers | None = (
        [("levada", f"1/{int(time.time() * 1e6)}/{mouth.installation}".encode())] if kafka else None
    )
    absurd = [
        Message(
            "absurd", COMMANDS, id_.encode(), cmd.encode(cmd.TimerFired(execution_id=id_, seq=1, kind="no such kind"))
        )
        for id_ in ids
    ]
    for one in absurd:
        one.headers = headers
    await mouth.send(absurd)


async def _states(dsn: str) -> Counter[str]:
    rows = await asyncio.to_thread(history.fetch, dsn, "SELECT state FROM execution WHERE flow_id = $1", SICK_FLOW)
    return Counter(state for (state,) in rows)


async def _stopped(fleet: Services, kafka: bool) -> list[str]:
    """Return the partitions that are not read to their end, after having waited for them."""
    deadline = time.monotonic() + REST_S
    while True:
        done = await asyncio.to_thread(history.fetch, fleet.dsn, "SELECT topic, part, done_off FROM bus_owner")
        ends = await _ends(fleet, kafka)
        behind = [
            f"{topic}/{part} is read up to {off} of {ends[topic, part]}"
            for topic, part, off in done
            if off < ends.get((topic, part), 0)
        ]
        if not behind or time.monotonic() > deadline:
            missing = {topic for topic in TOPICS if topic != CONTROL} - {topic for topic, _, _ in done}
            return behind + [f"nobody owns {topic}" for topic in sorted(missing)]
        await asyncio.sleep(0.3)


async def _ends(fleet: Services, kafka: bool) -> dict[tuple[str, int], int]:
    if not kafka:
        rows = await asyncio.to_thread(history.fetch, fleet.dsn, "SELECT topic, part, next_off FROM bus_head")
        return {(topic, part): off for topic, part, off in rows}
    consumer = AIOKafkaConsumer(bootstrap_servers=fleet.cluster.bootstrap)
    await consumer.start()
    try:
        wanted = [TopicPartition(topic, part) for topic in TOPICS for part in range(PARTITIONS)]
        ends = await consumer.end_offsets(wanted)
        return {(place.topic, place.partition): off for place, off in ends.items()}
    finally:
        await consumer.stop()


def _judge(messages: Sequence[Message], dead: Sequence[tuple[str, int, int, bytes]], report: Report) -> None:
    """Hold what became of each message against what had to."""
    graves: dict[tuple[str, int, int], list[bytes]] = {}
    for topic, part, off, body in dead:
        graves.setdefault((topic, part, off), []).append(bytes(body))
    wrong: list[str] = []
    for one in messages:
        found = graves.pop((one.topic, one.part, one.off), [])
        name = f"{one.topic}/{one.part}/{one.off} ({one.kind}, key {one.key[:40]!r})"
        if one.expected == DEAD and len(found) != 1:
            wrong.append(f"{name} is in {len(found)} dead letters: {(one.body or b'')[:120]!r}")
        elif one.expected == DEAD and found[0] != (one.body or b""):
            wrong.append(f"{name} is a dead letter with another body")
        elif len(found) > 1:
            wrong.append(f"{name} is in {len(found)} dead letters")
    expected = Counter(one.expected for one in messages)
    report.violations += wrong
    report.figures |= {
        "messages": len(messages),
        "kinds": dict(sorted(Counter(one.kind for one in messages).items())),
        "topics": dict(sorted(Counter(one.topic for one in messages).items())),
        "had to be dead letters, and are": expected[DEAD] - len(wrong),
        "could be read and had no effect": expected[NOTHING],
        "on the topic that nobody stores": expected[UNREAD],
    }
    report.goals["each message is one dead letter, or provably ignored"] = not wrong


assert {LOGS, METRICS, AUDIT, CHANGES} == set(READERS), "somebody reads a topic that is not poisoned knowingly"
