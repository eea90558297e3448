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
from levada.sdk.task import Outcome, Task, TaskFailed

__all__ = [
    "Control",
    "Kv",
    "KvEntry",
    "NamespaceFiles",
    "Outcome",
    "ProcessResult",
    "RunContext",
    "Secrets",
    "Services",
    "Storage",
    "Task",
    "TaskFailed",
]
