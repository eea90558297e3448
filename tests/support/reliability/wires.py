"""A cluster whose every line can be spoilt: each process reaches Postgres, each broker and each gateway through proxies of its own.

    fleet = Wired(folder, bus="kafka", brokers=1)
    for line in fleet.lines("executor-1", "postgres"):
        line.drop()

Kafka's clients follow the addresses that brokers advertise, so every process gets a listener of its own on every broker,
which advertises that process's proxy. The harness itself and the load use the direct lines. The brokers among themselves
have no proxies; where network namespaces are allowed each broker may be a host of its own (`network`) that can be isolated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from namespaces import OUTSIDE, Network
from netfaults import Proxy

from levada.bus.broker import KafkaCluster, Listener, Setup
from levada.cli.cluster import Cluster, Counts
from levada.cli.cluster.process import Process
from levada.cli.cluster.settings import NO_BACKENDS, START_ORDER, Bus
from reliability.fleet import Services

POSTGRES, KAFKA, API = "postgres", "kafka", "api"
"""What lines lead to."""


class WiredCluster(Cluster):
    """`wires` are the proxies by process and by what they lead to."""

    def __init__(
        self, folder: Path, *, bus: Bus, counts: Counts, env: Mapping[str, str], network: Network | None = None
    ) -> None:
        super().__init__(folder, bus=bus, counts=counts, env=env)
        self.network = network
        self.wires: dict[str, dict[str, list[Proxy]]] = defaultdict(lambda: defaultdict(list))

    async def stop(self, grace_s: float = 40.0) -> dict[str, int | None]:
        codes = await super().stop(grace_s)
        for lines in self.wires.values():
            for line in (line for group in lines.values() for line in group):
                await line.stop()
        self.wires.clear()
        return codes

    def _wire(self, name: str, to: str, line: Proxy) -> Proxy:
        self.wires[name][to].append(line)
        line.start()
        return line

    async def _start_brokers(self) -> str | None:
        if self.bus != "kafka":
            return None
        names = [
            f"{service}-{number + 1}"
            for service in START_ORDER
            if service not in NO_BACKENDS
            for number in range(self.counts.of(service))
        ]
        listeners = (Listener(), *(Listener(_listener(name)) for name in names))
        hosts = self.network.names[:-1] if self.network is not None else []
        assert self.network is None or len(hosts) == self.counts.brokers, "a host for each broker"
        self._kafka = KafkaCluster(
            self.folder / "kafka",
            Setup(listeners=listeners),
            size=self.counts.brokers,
            hosts=[self.network.address(host) for host in hosts] if self.network is not None else (),
            prefixes=[self.network.prefix(host) for host in hosts] if self.network is not None else (),
        )
        for broker in self._kafka.brokers:
            plain, *others = broker.listeners
            advertised = [
                replace(one, advertised=self._wire(name, KAFKA, Proxy((broker.place.host, one.port))).address)
                for name, one in zip(names, others, strict=True)
            ]
            broker.listeners = (plain, *advertised)
        await self._kafka.start()
        return self._kafka.bootstrap

    def _make(self, service: str, env: Mapping[str, str] | None = None) -> Process:
        """A process is told its proxies where others are told the servers."""
        name = f"{service}-{len(self.of(service)) + 1}"
        if service in NO_BACKENDS:
            gateways = [self._wire(name, API, Proxy(("127.0.0.1", process.port))) for process in self.of("api")]
            told = {"LEVADA_WORKER_GATEWAY_URL": ",".join(f"http://{line.address}" for line in gateways)}
        else:
            database = self._wire(name, POSTGRES, Proxy(_socket(self.dsn)))
            told = {"LEVADA_DATABASE_URL": f"postgresql://postgres@{database.address}/levada?sslmode=disable"}
            if self.wires[name][KAFKA]:
                brokers = ",".join(line.address for line in self.wires[name][KAFKA])
                told["LEVADA_KAFKA_BOOTSTRAP_SERVERS"] = brokers
        return super()._make(service, {**told, **(env or {})})


class Wired(Services):
    """A fleet with spoilable lines."""

    cluster: WiredCluster

    def __init__(
        self,
        folder: Path,
        *,
        bus: Bus = "postgres",
        brokers: int = 1,
        lease_s: float = 3.0,
        env: Mapping[str, str] | None = None,
        network: Network | None = None,
    ) -> None:
        """`network` has a host for each broker, called `broker-1` and so on; it must be open."""
        self.network = network
        counts = Counts(executor=2, scheduler=2, worker=2, api=2, webhook=1, indexer=1, brokers=brokers)
        super().__init__(folder, bus=bus, counts=counts, lease_s=lease_s, env=env)
        self.cluster = WiredCluster(folder, bus=bus, counts=counts, env=self.told, network=network)

    def isolate(self, broker: str, *, clients: bool) -> None:
        """Cut a broker off from the other brokers, and from its clients too unless told otherwise."""
        assert self.network is not None, "brokers can only be isolated in namespaces"
        for other in self.network.names:
            if other != broker and (clients or other != OUTSIDE):
                self.network.cut(broker, other)

    def lines(self, name: str, *to: str) -> list[Proxy]:
        """Return a process's lines to these, or all of them."""
        return [line for what, group in self.cluster.wires[name].items() if not to or what in to for line in group]


def broker_hosts(count: int) -> Network:
    """Return a network, not yet open, in which each broker is a host."""
    return Network([f"broker-{number + 1}" for number in range(count)])


def _listener(name: str) -> str:
    return name.replace("-", "").upper()


def _socket(dsn: str) -> Path:
    """Return the Unix socket that the embedded Postgres listens on."""
    folder = parse_qs(urlsplit(dsn).query)["host"][0]
    return Path(folder) / ".s.PGSQL.5432"
