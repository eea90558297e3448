"""The SDK: everything a plugin author imports, and nothing else of Levada."""

from levada.sdk.context import (
    Control,
    Kv,
    KvEntry,
    NamespaceFiles,
    ProcessResult,
    RunContext,
    Secrets,
    Services,
    Storage,
)
from levada.sdk.registry import Registry, canonical
from levada.sdk.task import (
    Condition,
    FlowableTask,
    InlineTask,
    Outcome,
    Outputs,
    Part,
    PollingTrigger,
    Task,
    TaskFailed,
    Trigger,
)

__all__ = [
    "Condition",
    "Control",
    "FlowableTask",
    "InlineTask",
    "Kv",
    "KvEntry",
    "NamespaceFiles",
    "Outcome",
    "Outputs",
    "Part",
    "PollingTrigger",
    "ProcessResult",
    "Registry",
    "RunContext",
    "Secrets",
    "Services",
    "Storage",
    "Task",
    "TaskFailed",
    "Trigger",
    "canonical",
]
