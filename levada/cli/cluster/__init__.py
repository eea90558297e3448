"""A whole cluster on one machine: every service as processes of its own, as in production but started by one program.

`Cluster` is what `make cluster` and the fault harnesses share. It starts Postgres, the brokers if the bus is Kafka, the
migration, the topics and the services, each configured by environment variables only, exactly as a container would be; it
can kill, freeze and restart each of them; and when it ends, or is killed, nothing of it stays behind.

Read `cluster` first, then what it stands on: `process` (one service process), `ports` (numbers nobody else takes),
`balancer` (the one address in front of several processes of a service), `settings` (who is told what).
"""

from levada.cli.cluster.cluster import Cluster
from levada.cli.cluster.process import Process, Started
from levada.cli.cluster.settings import Counts

__all__ = ["Cluster", "Counts", "Process", "Started"]
