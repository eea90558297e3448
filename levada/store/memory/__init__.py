"""The stores in memory, for unit tests and the simulation: same fences, same conflicts, same order; nothing survives.

Everything is kept encoded, as in the tables, so no caller shares a mutable value with the store. A call never awaits
anything, so it is one step, like a transaction; a simulation subclasses to put failures around it.
"""

from levada.store.memory.executions import MemoryExecutionStore
from levada.store.memory.flows import MemoryFlowStore
from levada.store.memory.kv import MemoryKvStore
from levada.store.memory.logs import MemoryLogStore, MemoryMetricStore
from levada.store.memory.members import MemoryIngress, MemoryMembers
from levada.store.memory.operations import MemoryDeadLetters, MemoryDiagnosis
from levada.store.memory.queries import MemoryExecutionQueries
from levada.store.memory.records import MemoryAuditStore, MemoryExecutionCounts, MemoryIndexStore
from levada.store.memory.tables import Tables
from levada.store.memory.triggers import MemoryDeliveries, MemoryTriggerStore

__all__ = [
    "MemoryAuditStore",
    "MemoryDeadLetters",
    "MemoryDeliveries",
    "MemoryDiagnosis",
    "MemoryExecutionCounts",
    "MemoryExecutionQueries",
    "MemoryExecutionStore",
    "MemoryFlowStore",
    "MemoryIndexStore",
    "MemoryIngress",
    "MemoryKvStore",
    "MemoryLogStore",
    "MemoryMembers",
    "MemoryMetricStore",
    "MemoryTriggerStore",
    "Tables",
]
