"""What passes between executor and workers: one attempt of one task, and what a claim of it gives.

A job is self-contained: the task as written, the slice of variables that its expressions read, and the limits. The
worker needs no access to flows or executions. `Job` is the body of an offer and of the claim row; workers get `Claim`.
"""

from enum import StrEnum
from typing import Any

import msgspec


class JobKind(StrEnum):
    #: Run the task through its plugin.
    RUN = "run"
    #: Run the children of a WorkingDirectory in order, in one folder, reporting each as a ChildTask.
    WORKING_DIRECTORY = "working_directory"
    #: Only render `task.properties` (control expressions that need I/O) and answer with `values`.
    EVALUATE = "evaluate"


class JobTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task as a worker sees it. `properties` are unrendered. `timeout` is an ISO duration or an expression."""

    id: str
    type: str
    properties: dict[str, Any] = {}
    timeout: str | None = None
    log_level: str | None = None
    log_to_file: bool = False
    run_if: str | None = None
    disabled: bool = False
    allow_failure: bool = False
    allow_warning: bool = False
    #: Children of WorkingDirectory: tasks, then errors and finally under their branch names.
    branches: dict[str, list["JobTask"]] = {}
    retry: dict[str, Any] | None = None
    task_cache: dict[str, Any] | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`variables` is the context for rendering. `restarts` > 0 when the execution was restarted."""

    execution_id: str
    task_run_id: str
    attempt: int
    namespace: str
    flow_id: str
    flow_revision: int
    task: JobTask
    tenant: str = "main"
    kind: JobKind = JobKind.RUN
    queue: str = "default"
    priority: int = 0
    variables: dict[str, Any] = {}
    value: str | None = None
    iteration: int | None = None
    on_worker_lost: str = "retry"
    #: What is done when no worker serves the route: FAIL, CANCEL (the execution) or IGNORE (the choice of worker); None: it
    #: waits. The work queue looks for this name in the encoded job.
    if_no_worker: str | None = None
    #: Since when it waits for a worker, if that is longer than this attempt (epoch microseconds): one that follows a lost or
    #: returned attempt keeps the place of that one, and does not queue behind all that came meanwhile.
    since: int | None = None
    trace_parent: str | None = None
    plugin_defaults: list[dict[str, Any]] = []


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to run a job: `token` goes with every renewal and the result; `lease_until` is epoch microseconds."""

    job: Job
    token: str
    lease_until: int


class Held(msgspec.Struct, frozen=True):
    """What a worker holds: the natural key of a running attempt."""

    execution_id: str
    task_run_id: str
    attempt: int
    token: str


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the work queue knows of a claim. `lease` None: the attempt is over; `left_us`: how long it is still good."""

    held: Held
    tenant: str
    namespace: str
    flow_id: str
    lease: str | None
    left_us: int


class LogEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One log line. `at` is epoch microseconds; `seq` orders lines of the same attempt and microsecond."""

    execution_id: str
    namespace: str
    flow_id: str
    level: str
    message: str
    at: int
    tenant: str = "main"
    seq: int = 0
    task_id: str | None = None
    task_run_id: str | None = None
    attempt: int | None = None
    trigger_id: str | None = None
    thread: str | None = None


class MetricEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One metric of a task run; `kind` is counter, timer (value in milliseconds) or gauge."""

    execution_id: str
    namespace: str
    flow_id: str
    task_id: str
    task_run_id: str
    name: str
    kind: str
    value: float
    at: int
    tenant: str = "main"
    tags: dict[str, str] = {}


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Job).decode
