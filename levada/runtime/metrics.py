"""Every metric that Levada's processes show at `/metrics`: name, type, meaning, labels. docs/metrics.md is made from it.

A service counts by `metrics.COMMITS.observe(seconds)` or `metrics.ENDED.inc("SUCCESS")`: label values are positional, in
the order they are declared here. Labels never hold ids, addresses or names that people invent without bound (executions,
task runs, flows); queues, topics, partitions and states are few. Adapters below this layer (bus, jobs, store) know no
metrics: they keep plain numbers, and a collector takes them over when somebody reads.

Names follow Prometheus: base units in the name, counters end in `_total`. A dashboard or alert in deploy/grafana that names
something not declared here fails tests/meta/test_grafana.py.
"""

from __future__ import annotations

from levada.runtime.series import LONG_SECONDS, NUMBERS, Counter, Gauge, Histogram, Registry

__all__ = ["REGISTRY", "Counter", "Gauge", "Histogram", "Registry", "counter", "gauge", "histogram"]

REGISTRY = Registry()
counter, gauge, histogram = REGISTRY.counter, REGISTRY.gauge, REGISTRY.histogram

# --- the process
RSS = gauge("process_resident_memory_bytes", "Resident memory of this process.")
CPU = counter("process_cpu_seconds_total", "Processor time of this process, user and system.")
STARTED = gauge("process_start_time_seconds", "When this process began, epoch seconds.")
OPEN_FDS = gauge("process_open_fds", "Open file descriptors.")
MAX_FDS = gauge("process_max_fds", "Most file descriptors that this process may open.")
INFO = gauge("levada_service_info", "Always 1; says what this process is.", ("service", "version"))
HEALTH = gauge("levada_health_check", "1 while a check of readiness or liveness says yes, 0 while no.", ("check",))
LOOP_LAG = gauge("levada_loop_lag_seconds", "How late the event loop's last heartbeat was.")
LOOP_WORST = gauge("levada_loop_lag_worst_seconds", "How late the event loop's latest heartbeat of all was.")
STANDSTILLS = counter("levada_loop_standstills_total", "Times that the event loop stood still for over a second.")
RESTARTS = counter("levada_part_restarts_total", "Parts started again after something was away.", ("part",))
LOG_LINES = counter("levada_process_log_lines_total", "Lines that processes of Levada print.", ("level",))

# --- database
DATABASE_UP = gauge("levada_database_up", "1 while Postgres answers this process.")
CLOCK_SKEW = gauge("levada_clock_skew_seconds", "This machine's clock minus the database's.")

# --- bus
BUS_LAG = gauge("levada_bus_lag", "Records of a partition that its reader has not applied yet.", ("topic", "partition"))
BUS_POLLED = counter("levada_bus_polled_total", "Records read from the bus.", ("topic",))
BUS_APPENDED = counter("levada_bus_appended_total", "Records put on the bus.", ("topic",))
BUS_APPEND = histogram("levada_bus_append_seconds", "From a call to append until the bus has acknowledged.")
BUS_ERRORS = counter("levada_bus_errors_total", "Calls to the bus that failed for the time being.", ("operation",))
KAFKA_UP = gauge("levada_kafka_up", "1 while Kafka answers this process; only there when the bus is Kafka.")
KAFKA_REBUILDS = counter("levada_kafka_rebuilds_total", "Kafka producers and consumers thrown away and made anew.")
KAFKA_FOREIGN = counter("levada_kafka_foreign_records_total", "Records of another installation that were left out.")
KAFKA_SHARED = counter(
    "levada_kafka_shared_groups_total",
    "Times that another installation wrote to the group by which our lag is measured.",
)
KAFKA_UNCONFIRMED = gauge("levada_kafka_unconfirmed_bytes", "Bytes that were sent and are not confirmed yet.")
COMMANDS_BEHIND = gauge("levada_commands_behind", "Commands on the bus that no executor has applied yet.")
INGRESS_WAITING = gauge("levada_ingress_waiting", "Acknowledged commands that are not applied yet (Kafka only).")
INGRESS_AGE = gauge("levada_ingress_age_seconds", "Age of the oldest acknowledged command that is not applied yet.")
INGRESS_RESENT = counter("levada_ingress_resent_total", "Acknowledged commands put on the bus again.")
DEAD_LETTERED = counter("levada_dead_letters_total", "Records that became dead letters.", ("topic",))
DEAD_LETTERS = gauge("levada_dead_letters", "Dead letters that nobody has replayed or dropped.", ("topic",))

# --- executor
PARTITIONS_OWNED = gauge("levada_executor_partitions", "Partitions of the commands topic that this executor owns.")
UNOWNED = gauge("levada_partitions_without_owner", "Partitions of the commands topic that no living executor owns.")
REBALANCES = counter("levada_rebalances_total", "Partitions that this process took or gave back.", ("topic", "change"))
REBALANCE_PAUSE = histogram(
    "levada_rebalance_pause_seconds",
    "How long a partition had no owner when another one took it: since it was given back, or a lease ran out.",
    ("topic",),
)
COMMIT = histogram("levada_executor_commit_seconds", "One transaction of the executor, with the wait for it.")
DECIDE = histogram("levada_executor_decide_seconds", "Deciding one batch in memory, without its transaction.")
BATCH = histogram("levada_executor_batch_records", "Commands in one transaction.", buckets=NUMBERS)
DECISIONS = counter("levada_executor_decisions_total", "Commands decided.", ("command",))
FENCED = counter("levada_executor_fenced_total", "Commits refused because another executor owns the partition.")
CONFLICTS = counter("levada_executor_conflicts_total", "Commits refused and decided again.", ("kind",))
POISONED = counter("levada_executor_poisoned_total", "Commands on which the engine raised.")
CREATED = counter("levada_executions_created_total", "Executions that began.")
ENDED = counter("levada_executions_ended_total", "Executions that reached a terminal state.", ("state",))
DURATION = histogram(
    "levada_execution_seconds", "From an execution's creation to its end.", ("state",), buckets=LONG_SECONDS
)
TASK_RUNS = counter("levada_task_runs_ended_total", "Task runs that reached a terminal state.", ("state",))
LIVE = gauge("levada_executions", "Executions that have not ended, by state.", ("state",))
TIMER_LATENESS = histogram("levada_timer_lateness_seconds", "From a timer's due time until its command was sent.")

# --- work queue and gateway
QUEUE_DEPTH = gauge("levada_queue_depth", "Attempts that wait for a worker.", ("queue",))
QUEUE_AGE = gauge("levada_queue_age_seconds", "How long the oldest attempt has waited for a worker.", ("queue",))
QUEUE_WORKERS = gauge("levada_queue_workers", "Living workers that serve a queue with or without work.", ("queue",))
LEASES = gauge("levada_leases_held", "Attempts that a worker holds.")
LEASES_LOST = counter("levada_leases_lost_total", "Attempts whose worker was not heard of in time.")
SLOTS_HELD = gauge("levada_concurrency_slots_held", "Concurrency slots of flows that executions hold.")
SLOTS_WAITING = gauge("levada_concurrency_waiting", "Executions that wait for a concurrency slot of their flow.")
GATEWAY_WAITING = gauge("levada_gateway_waiting", "Workers whose question for work waits at this gateway.")
GATEWAY_CLAIMS = counter("levada_gateway_claims_total", "Attempts that this gateway gave to workers.", ("queue",))
GATEWAY_LOOKS = counter("levada_gateway_looks_total", "Claim queries of this gateway, fruitless ones included.")
GATEWAY_RESULTS = counter("levada_gateway_results_total", "Results that workers handed in here.", ("state",))
GATEWAY_REFUSED = counter("levada_gateway_refused_total", "Requests of workers that were refused.", ("reason",))

# --- worker
SLOTS = gauge("levada_worker_slots", "Tasks that this worker runs at a time.")
SLOTS_USED = gauge("levada_worker_slots_used", "Tasks that it runs now.")
ATTEMPTS = counter("levada_worker_attempts_total", "Attempts that this worker ended.", ("state",))
ATTEMPT_DURATION = histogram(
    "levada_worker_attempt_seconds", "From an attempt's claim to its result.", ("state",), buckets=LONG_SECONDS
)
WORKER_FENCED = counter("levada_worker_fenced_total", "Tasks killed because their lease could not be renewed.")
UNREPORTED = gauge("levada_worker_results_waiting", "Results that are not handed in yet.")
TASK_LINES_DROPPED = counter(
    "levada_worker_log_lines_dropped_total", "Log lines of tasks that were not kept.", ("reason",)
)
WORKER_ERRORS = counter("levada_worker_errors_total", "Calls to the gateway that failed.", ("call",))

# --- scheduler and webhooks
FIRES = counter("levada_trigger_fires_total", "Slots of triggers handled.", ("outcome",))
FIRE_LATENESS = histogram(
    "levada_trigger_lateness_seconds", "From a trigger's time until its execution was asked for.", buckets=LONG_SECONDS
)
TRIGGERS = gauge("levada_triggers", "Triggers that this scheduler looks after.")
TRIGGERS_BROKEN = gauge("levada_triggers_broken", "Triggers that cannot fire because something about them is wrong.")
WEBHOOKS = counter("levada_webhooks_total", "Webhook requests.", ("outcome",))

# --- indexer and audit
INDEXED = counter("levada_indexer_records_total", "Records that the indexer wrote.", ("topic",))
INDEX_BATCH = histogram("levada_indexer_batch_records", "Records in one transaction.", ("topic",), buckets=NUMBERS)
INDEX_COMMIT = histogram("levada_indexer_commit_seconds", "One transaction of the indexer.", ("topic",))
INDEX_ERRORS = counter("levada_indexer_errors_total", "Records that the indexer could not read.", ("topic",))
AUDITED = counter("levada_audit_records_total", "Audit records made.", ("outcome",))

# --- HTTP
HTTP = histogram(
    "levada_http_request_seconds", "Requests to this process, from the first byte to the answer.", ("method", "route")
)
HTTP_ANSWERS = counter("levada_http_requests_total", "Requests answered.", ("method", "route", "status"))
HTTP_OPEN = gauge("levada_http_requests_open", "Requests that are being answered, event streams included.")

# --- telemetry
SPANS_DROPPED = counter("levada_spans_dropped_total", "Spans of traces that could not be sent.", ("reason",))
