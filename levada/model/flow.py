"""A flow as the engine sees it: parsed, checked and immutable.

`levada.flowfile` makes these from YAML. Tasks of every type share one shape: what all tasks have in common are fields,
lists of child tasks are `branches`, everything else is `properties` exactly as written (expressions unrendered). So the
engine needs no class per task type, and a type it does not know still travels unharmed.

Branch names: `tasks`, `errors`, `finally` for every container; `then`, `else` for If; `cases.<key>`, `defaults` for
Switch; `onPause` for Pause. Type names are the canonical short form (`core.log.Log`).
"""

from enum import StrEnum
from typing import Any

import msgspec


class RetryBehavior(StrEnum):
    RETRY_FAILED_TASK = "RETRY_FAILED_TASK"
    CREATE_NEW_EXECUTION = "CREATE_NEW_EXECUTION"


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Durations are microseconds. `max_attempts` counts the first try; None means no limit."""

    type: str  # constant | exponential | random
    interval: int | None = None
    min_interval: int | None = None
    max_interval: int | None = None
    delay_factor: float = 2.0
    max_attempts: int | None = None
    max_duration: int | None = None
    warning_on_retry: bool = False
    behavior: RetryBehavior = RetryBehavior.RETRY_FAILED_TASK


class ConcurrencyBehavior(StrEnum):
    QUEUE = "QUEUE"
    CANCEL = "CANCEL"
    FAIL = "FAIL"


class Concurrency(msgspec.Struct, frozen=True):
    limit: int
    behavior: ConcurrencyBehavior = ConcurrencyBehavior.QUEUE


class Task(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: str
    properties: dict[str, Any] = {}
    branches: dict[str, tuple["Task", ...]] = {}
    #: Dag only: child id -> ids that must have ended well before it starts.
    depends_on: dict[str, tuple[str, ...]] = {}
    description: str | None = None
    retry: Retry | None = None
    #: ISO duration or expression, per attempt.
    timeout: str | None = None
    disabled: bool = False
    run_if: str | None = None
    allow_failure: bool = False
    allow_warning: bool = False
    log_level: str | None = None
    log_to_file: bool = False
    task_cache: dict[str, Any] | None = None
    worker_group: dict[str, Any] | None = None
    #: What happens when the worker is lost: `retry` (a new attempt) or `fail`.
    on_worker_lost: str = "retry"


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """`properties` holds what only some types have: validator, min, max, values, itemType, expression …"""

    id: str
    type: str
    required: bool = True
    defaults: Any = None
    has_defaults: bool = False
    prefill: Any = None
    depends_on: dict[str, Any] | None = None
    display_name: str | None = None
    description: str | None = None
    properties: dict[str, Any] = {}


class Output(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    value: Any
    type: str | None = None
    required: bool = True
    display_name: str | None = None
    description: str | None = None


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions and every other property of the type stay in `properties` as written."""

    id: str
    type: str
    properties: dict[str, Any] = {}
    disabled: bool = False
    inputs: dict[str, Any] = {}
    labels: tuple[tuple[str, str], ...] = ()
    description: str | None = None


class Sla(msgspec.Struct, frozen=True, kw_only=True):
    """`duration` is microseconds (MAX_DURATION); `assertion` an expression (EXECUTION_ASSERTION)."""

    id: str
    type: str
    behavior: str
    duration: int | None = None
    assertion: str | None = None
    labels: tuple[tuple[str, str], ...] = ()


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """Kestra 0.x: tasks that run after the end if all conditions hold."""

    tasks: tuple[Task, ...]
    conditions: tuple[dict[str, Any], ...] = ()
    description: str | None = None


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    namespace: str
    revision: int = 1
    tenant: str = "main"
    description: str | None = None
    disabled: bool = False
    deleted: bool = False
    draft: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    variables: dict[str, Any] = {}
    tasks: tuple[Task, ...] = ()
    errors: tuple[Task, ...] = ()
    finally_: tuple[Task, ...] = ()
    after_execution: tuple[Task, ...] = ()
    listeners: tuple[Listener, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    concurrency: Concurrency | None = None
    retry: Retry | None = None
    sla: tuple[Sla, ...] = ()
    checks: tuple[dict[str, Any], ...] = ()
    plugin_defaults: tuple[dict[str, Any], ...] = ()
    worker_group: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """The key of everything that concerns this flow on the bus and in locks: `tenant/namespace/id`."""
        return f"{self.tenant}/{self.namespace}/{self.id}"
