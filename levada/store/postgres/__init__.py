"""The stores in Postgres. One module per protocol of `store/port.py`; statements in `sql/`, named like what runs them."""

from levada.store.postgres.audit import PostgresAuditStore
from levada.store.postgres.counts import PostgresExecutionCounts
from levada.store.postgres.dead_letters import PostgresDeadLetters
from levada.store.postgres.diagnosis import PostgresDiagnosis
from levada.store.postgres.executions import PostgresExecutionStore, drop_timers_of_ended
from levada.store.postgres.flows import PostgresFlowStore
from levada.store.postgres.gauges import PostgresGauges
from levada.store.postgres.indexing import PostgresIndexStore
from levada.store.postgres.ingress import PostgresIngress
from levada.store.postgres.kv import PostgresKvStore
from levada.store.postgres.logs import PostgresLogStore, PostgresMetricStore
from levada.store.postgres.members import PostgresMembers
from levada.store.postgres.partitions import Partitions
from levada.store.postgres.queries import PostgresExecutionQueries
from levada.store.postgres.triggers import PostgresDeliveries, PostgresTriggerStore

__all__ = [
    "Partitions",
    "PostgresAuditStore",
    "PostgresDeadLetters",
    "PostgresDeliveries",
    "PostgresDiagnosis",
    "PostgresExecutionCounts",
    "PostgresExecutionQueries",
    "PostgresExecutionStore",
    "PostgresFlowStore",
    "PostgresGauges",
    "PostgresIndexStore",
    "PostgresIngress",
    "PostgresKvStore",
    "PostgresLogStore",
    "PostgresMembers",
    "PostgresMetricStore",
    "PostgresTriggerStore",
    "drop_timers_of_ended",
]
