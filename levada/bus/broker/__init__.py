"""A real Apache Kafka on loopback, for who wants to try the bus over Kafka or to test it: no Docker, no installation.

`KafkaBroker(folder)` is one broker, `KafkaCluster(folder)` three of them. Both need Java 17 or newer and fetch Kafka's jars
once (see `jars`). What they run is Kafka itself, set up small (160 MB) and quick to restart; it is not meant for production,
where somebody else runs Kafka and `kafka.bootstrap_servers` names it.

Read `broker` first, then what it stands on: `folder` (lock, identity, log), `program` (Java's command line), `settings`,
`process` (it never outlives us), `probe` (does it serve), `ports`.
"""

from levada.bus.broker.broker import KafkaBroker, Setup
from levada.bus.broker.cluster import KafkaCluster
from levada.bus.broker.errors import BrokerError, FolderInUse, NoJava, NoKafka
from levada.bus.broker.jars import Sources
from levada.bus.broker.settings import Listener

__all__ = [
    "BrokerError",
    "FolderInUse",
    "KafkaBroker",
    "KafkaCluster",
    "Listener",
    "NoJava",
    "NoKafka",
    "Setup",
    "Sources",
]
