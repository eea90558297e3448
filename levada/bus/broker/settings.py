"""The broker's settings: small, quick to come back, open to loopback only.

Every broker is also a controller (KRaft, no ZooKeeper). It has three kinds of listeners: CONTROLLER and INTERNAL, plain and
for the brokers among themselves, and those for clients. Apart from each other, because a client's listener may ask for a
password or stand behind a proxy that a test makes drop everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CONTROLLER, INTERNAL, CLIENT = "CONTROLLER", "INTERNAL", "CLIENT"

SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "controller.listener.names": CONTROLLER,
    "inter.broker.listener.name": INTERNAL,
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    # Memory: the cleaner's buffer alone is 128 MB otherwise, and idle threads are not free either.
    "log.cleaner.dedupe.buffer.size": "2097152",
    "num.io.threads": "2",
    "num.network.threads": "1",
    "background.threads": "2",
    # A broker that was killed is let in again when its last session is over: 9 s otherwise.
    "broker.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "200",
    "group.min.session.timeout.ms": "1000",
}

LOGGING = """\
status=error
appenders=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1} %m%n
rootLogger.level=WARN
rootLogger.appenderRefs=console
rootLogger.appenderRef.console.ref=console
"""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where clients connect. `properties` are the listener's own, without their prefix: `sasl.enabled.mechanisms`, …

    Port 0 is any free one. `advertised` (host:port) is what clients are told to connect to instead.
    """

    name: str = CLIENT
    protocol: str = "PLAINTEXT"
    port: int = 0
    advertised: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """One broker of a cluster: who it is and where its two inner listeners are."""

    node: int
    host: str
    controller: int
    internal: int


def properties(
    place: Place, voters: Sequence[Place], listeners: Sequence[Listener], more: Mapping[str, str]
) -> dict[str, str]:
    """Return the settings of one broker; `voters` are all places of its cluster, itself included; `more` goes over all."""
    copies = str(min(len(voters), 3))
    in_sync = str(min(len(voters), 2))
    host = place.host
    inner = [f"{CONTROLLER}://{host}:{place.controller}", f"{INTERNAL}://{host}:{place.internal}"]
    protocols = {CONTROLLER: "PLAINTEXT", INTERNAL: "PLAINTEXT"} | {one.name: one.protocol for one in listeners}
    advertised = [f"{one.name}://{one.advertised or f'{host}:{one.port}'}" for one in listeners]
    return {
        **SETTINGS,
        "node.id": str(place.node),
        "controller.quorum.voters": ",".join(f"{one.node}@{one.host}:{one.controller}" for one in voters),
        "listeners": ",".join([*inner, *(f"{one.name}://{host}:{one.port}" for one in listeners)]),
        "advertised.listeners": ",".join([f"{INTERNAL}://{host}:{place.internal}", *advertised]),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        **{
            f"{topic}.{setting}": value
            for topic in ("transaction.state.log", "share.coordinator.state.topic")
            for setting, value in (("replication.factor", copies), ("min.isr", in_sync))
        },
        "offsets.topic.replication.factor": copies,
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        **{
            f"listener.name.{one.name.lower()}.{name}": value
            for one in listeners
            for name, value in one.properties.items()
        },
        **more,
    }


def as_file(values: Mapping[str, str]) -> str:
    """Return a Java properties file; certificates in a value keep their lines."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in values.items())


def _escaped(value: str) -> str:
    plain = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    encoded = (char if ord(char) < 127 else f"\\u{ord(char):04x}" for char in plain)
    return "".join(encoded)
