"""Write the dashboards: `python deploy/grafana/make.py`.

What a panel asks and why stands here, a line each; the JSON that Grafana wants is made from it, so that all panels look
alike. tests/meta/test_grafana.py fails when a file is not what this script would write, when an expression is no PromQL,
and when it names a metric or label that Levada does not have (levada/runtime/metrics.py).

`$job` is the variable of scrape jobs; every selector gets it. Gauges that all api processes show alike (queues, lag, dead
letters) are aggregated with `max`, all else with `sum`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED = "green", "orange", "red"
WIDTH = 24
#: Routes whose callers wait for something to happen are slow by design.
NO_WAITING = 'route!~".*/(claim|cancelled|follow.*)"'


@dataclass(frozen=True)
class Panel:
    """`asks` are (expression, legend). `warn` and `bad` are thresholds; `below`: it is bad to be below them."""

    title: str
    asks: Sequence[tuple[str, str]]
    unit: str = "short"
    why: str = ""
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    warn: float | None = None
    bad: float | None = None
    below: bool = False
    stacked: bool = False
    decimals: int | None = None


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    about: str
    rows: Sequence[Row]


def rate(metric: str, by: str = "", where: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{_job(where)}}}[$__rate_interval]))"


def share(metric: str, where: str) -> str:
    """Return the share of what happened; 0 while nothing of the kind ever has."""
    return f"({rate(metric, where=where)} or vector(0)) / {rate(metric)}"


def quantile(q: float, metric: str, by: str = "", where: str = "") -> str:
    inside = rate(f"{metric}_bucket", f"le, {by}" if by else "le", where)
    return f"histogram_quantile({q:g}, {inside})"


def quantiles(metric: str, where: str = "") -> list[tuple[str, str]]:
    return [(quantile(q, metric, where=where), name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]


def largest(metric: str, by: str = "", where: str = "") -> str:
    return f"max{f' by ({by})' if by else ''} ({metric}{{{_job(where)}}})"


def total(metric: str, by: str = "", where: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} ({metric}{{{_job(where)}}})"


def _job(where: str) -> str:
    return 'job=~"$job"' + (f", {where}" if where else "")


def stat(title: str, ask: str, **more: Any) -> Panel:
    """A single number, 0 where there is nothing to be seen."""
    return Panel(title, [(f"{ask} or vector(0)", "")], kind="stat", width=4, height=4, **more)


OVERVIEW = Dashboard(
    "levada-overview",
    "Levada / Overview",
    "Is everything well, and if not, where to look.",
    [
        Row(
            "Now",
            [
                stat("Executions per second", rate("levada_executions_ended_total"), unit="ops", decimals=1),
                stat("Running", largest("levada_executions", where='state="RUNNING"')),
                stat(
                    "Failed of those ended",
                    share("levada_executions_ended_total", 'state="FAILED"'),
                    unit="percentunit",
                    warn=0.05,
                    bad=0.2,
                ),
                stat("Longest wait for a worker", largest("levada_queue_age_seconds"), unit="s", warn=30, bad=300),
                stat("Commands behind", largest("levada_commands_behind"), warn=1000, bad=20_000),
                stat("Dead letters", f"sum ({largest('levada_dead_letters', 'topic')})", warn=1, bad=10),
            ],
        ),
        Row(
            "Executions",
            [
                Panel(
                    "Executions ended",
                    [(rate("levada_executions_ended_total", "state"), "{{state}}")],
                    "ops",
                    "By the state that they ended in.",
                    stacked=True,
                ),
                Panel(
                    "Executions that have not ended",
                    [(largest("levada_executions", "state"), "{{state}}")],
                    "short",
                    "QUEUED ones wait for a concurrency slot of their flow, CREATED ones for an executor.",
                    stacked=True,
                ),
                Panel("Duration of executions", quantiles("levada_execution_seconds"), "s"),
                Panel(
                    "Task runs ended",
                    [(rate("levada_task_runs_ended_total", "state"), "{{state}}")],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Wait for a worker",
                    [(largest("levada_queue_age_seconds", "queue"), "{{queue}}")],
                    "s",
                    "Age of the oldest attempt in each queue. Grows when there are too few slots, or none.",
                    warn=30,
                    bad=300,
                ),
                Panel(
                    "Requests to the API",
                    [(rate("levada_http_requests_total", "status"), "{{status}}")],
                    "reqps",
                    stacked=True,
                ),
            ],
        ),
        Row(
            "Processes",
            [
                Panel(
                    "Processes",
                    [(f"count by (service, version) (levada_service_info{{{_job('')}}})", "{{service}} {{version}}")],
                ),
                Panel(
                    "Checks that say no",
                    [(f"sum by (check) (1 - levada_health_check{{{_job('')}}}) > 0", "{{check}}")],
                    why="Processes whose check of this name fails; `/health` of the process says why.",
                    bad=1,
                ),
                Panel(
                    "Processor time",
                    [(rate("process_cpu_seconds_total", "job"), "{{job}}")],
                    "percentunit",
                    "1 is one core.",
                ),
                Panel(
                    "Resident memory", [(largest("process_resident_memory_bytes", "instance"), "{{instance}}")], "bytes"
                ),
                Panel(
                    "Lag of the event loop",
                    [(largest("levada_loop_lag_seconds", "instance"), "{{instance}}")],
                    "s",
                    "Everything in a process waits for its loop: leases and heartbeats are late by as much.",
                    warn=0.25,
                    bad=1,
                ),
                Panel(
                    "Warnings and errors that processes print",
                    [
                        (
                            rate("levada_process_log_lines_total", "job, level", 'level=~"WARNING|ERROR|CRITICAL"'),
                            "{{job}} {{level}}",
                        )
                    ],
                    "ops",
                ),
            ],
        ),
    ],
)

EXECUTOR = Dashboard(
    "levada-executor",
    "Levada / Executor",
    "The state machine: what it decides, how long its transactions take, who owns which partitions.",
    [
        Row(
            "Throughput",
            [
                Panel(
                    "Commands decided",
                    [(rate("levada_executor_decisions_total", "command"), "{{command}}")],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Commands behind",
                    [(largest("levada_bus_lag", "partition", 'topic="commands"'), "partition {{partition}}")],
                    why="On the bus and not applied yet. One partition alone that grows has an executor that is stuck.",
                    warn=1000,
                    bad=20_000,
                ),
                Panel(
                    "Executions begun",
                    [
                        (rate("levada_executions_created_total"), "begun"),
                        (rate("levada_executions_ended_total"), "ended"),
                    ],
                    "ops",
                ),
            ],
        ),
        Row(
            "Batches",
            [
                Panel(
                    "Transaction",
                    quantiles("levada_executor_commit_seconds"),
                    "s",
                    "The wait for Postgres included.",
                    warn=0.1,
                    bad=1,
                ),
                Panel("Deciding one batch in memory", quantiles("levada_executor_decide_seconds"), "s"),
                Panel(
                    "Commands in a transaction",
                    quantiles("levada_executor_batch_records"),
                    why="At the limit (executor.batch_records) all the time: add executors, up to one per partition.",
                ),
                Panel(
                    "Transactions",
                    [(rate("levada_executor_commit_seconds_count", "instance"), "{{instance}}")],
                    "ops",
                ),
                Panel(
                    "Share of time in transactions",
                    [(rate("levada_executor_commit_seconds_sum", "instance"), "{{instance}}")],
                    "percentunit",
                    "Near 1 Postgres is what limits this executor.",
                ),
                Panel("Timers: lateness", quantiles("levada_timer_lateness_seconds"), "s", warn=1, bad=10),
            ],
        ),
        Row(
            "Partitions",
            [
                Panel(
                    "Partitions per executor",
                    [(total("levada_executor_partitions", "instance"), "{{instance}}")],
                    stacked=True,
                ),
                Panel(
                    "Partitions without owner",
                    [(largest("levada_partitions_without_owner"), "without owner")],
                    bad=1,
                    why="Their executions stand still until an executor takes them.",
                ),
                Panel(
                    "Partitions that changed hands",
                    [
                        (
                            rate("levada_rebalances_total", "change", 'topic="commands"'),
                            "{{change}}",
                        )
                    ],
                ),
            ],
        ),
        Row(
            "What went wrong",
            [
                Panel(
                    "Commits refused",
                    [
                        (rate("levada_executor_fenced_total"), "another executor owns the partition"),
                        (rate("levada_executor_conflicts_total", "kind"), "{{kind}} conflict"),
                    ],
                    "ops",
                    "A few at every rebalance are normal: the fence works.",
                ),
                Panel(
                    "Records that became dead letters",
                    [
                        (rate("levada_dead_letters_total", "topic"), "{{topic}}"),
                        (rate("levada_executor_poisoned_total"), "engine raised"),
                    ],
                    "ops",
                ),
                Panel("Attempts that lost their worker", [(rate("levada_leases_lost_total"), "lost")], "ops"),
            ],
        ),
    ],
)

WORKERS = Dashboard(
    "levada-workers",
    "Levada / Workers",
    "Queues, slots, attempts, and the gateway between workers and the rest.",
    [
        Row(
            "Queues",
            [
                Panel("Attempts that wait", [(largest("levada_queue_depth", "queue"), "{{queue}}")], stacked=True),
                Panel(
                    "Age of the oldest",
                    [(largest("levada_queue_age_seconds", "queue"), "{{queue}}")],
                    "s",
                    warn=30,
                    bad=300,
                ),
                Panel(
                    "Workers that serve a queue",
                    [(largest("levada_queue_workers", "queue"), "{{queue}}")],
                    why="0 with something waiting: no worker has this queue and these tags (worker.queues, worker.tags).",
                    bad=1,
                    below=True,
                ),
            ],
        ),
        Row(
            "Slots",
            [
                Panel(
                    "Slots in use",
                    [(f"{total('levada_worker_slots_used')} / {total('levada_worker_slots')}", "of all slots")],
                    "percentunit",
                    warn=0.8,
                    bad=0.95,
                ),
                Panel(
                    "Tasks that run", [(total("levada_worker_slots_used", "instance"), "{{instance}}")], stacked=True
                ),
                Panel("Slots", [(total("levada_worker_slots", "instance"), "{{instance}}")], stacked=True),
            ],
        ),
        Row(
            "Attempts",
            [
                Panel(
                    "Attempts ended",
                    [(rate("levada_worker_attempts_total", "state"), "{{state}}")],
                    "ops",
                    stacked=True,
                ),
                Panel("Duration of attempts", quantiles("levada_worker_attempt_seconds"), "s"),
                Panel(
                    "Results that are not handed in",
                    [(largest("levada_worker_results_waiting", "instance"), "{{instance}}")],
                    why="They are kept on the worker's disk until a gateway takes them.",
                    warn=10,
                    bad=1000,
                ),
                Panel(
                    "Attempts held",
                    [
                        (total("levada_leases_held"), "held"),
                        (largest("levada_concurrency_slots_held"), "concurrency slots held"),
                        (largest("levada_concurrency_waiting"), "executions that wait for one"),
                    ],
                ),
                Panel(
                    "Tasks killed by the fence",
                    [
                        (rate("levada_worker_fenced_total", "instance"), "{{instance}}"),
                        (rate("levada_leases_lost_total"), "given up by the executor"),
                    ],
                    "ops",
                    "A lease that could not be renewed: the worker was frozen, or cut off.",
                ),
                Panel(
                    "Log lines of tasks that were not kept",
                    [(rate("levada_worker_log_lines_dropped_total", "reason"), "{{reason}}")],
                    "ops",
                ),
            ],
        ),
        Row(
            "Gateway",
            [
                Panel(
                    "Workers that wait for work",
                    [(total("levada_gateway_waiting", "instance"), "{{instance}}")],
                    stacked=True,
                ),
                Panel(
                    "Attempts given out",
                    [
                        (rate("levada_gateway_claims_total", "queue"), "{{queue}}"),
                        (rate("levada_gateway_looks_total"), "claim queries"),
                    ],
                    "ops",
                ),
                Panel(
                    "Results, refusals, errors",
                    [
                        (rate("levada_gateway_results_total", "state"), "{{state}}"),
                        (rate("levada_gateway_refused_total", "reason"), "refused: {{reason}}"),
                        (rate("levada_worker_errors_total", "call"), "failed: {{call}}"),
                    ],
                    "ops",
                ),
            ],
        ),
    ],
)

BUS = Dashboard(
    "levada-bus",
    "Levada / Bus, Kafka and indexer",
    "What travels between the services, and how far its readers are behind.",
    [
        Row(
            "Bus",
            [
                Panel(
                    "Lag by topic",
                    [(f"sum by (topic) ({largest('levada_bus_lag', 'topic, partition')})", "{{topic}}")],
                    warn=1000,
                    bad=20_000,
                ),
                Panel(
                    "Records appended",
                    [(rate("levada_bus_appended_total", "topic"), "{{topic}}")],
                    "ops",
                    stacked=True,
                ),
                Panel("Records read", [(rate("levada_bus_polled_total", "topic"), "{{topic}}")], "ops", stacked=True),
                Panel(
                    "Append",
                    quantiles("levada_bus_append_seconds"),
                    "s",
                    "Until the bus has acknowledged.",
                    warn=0.1,
                    bad=1,
                ),
                Panel(
                    "Calls that failed",
                    [(rate("levada_bus_errors_total", "operation"), "{{operation}}")],
                    "ops",
                    bad=0.1,
                ),
                Panel(
                    "Dead letters",
                    [(largest("levada_dead_letters", "topic"), "{{topic}}")],
                    bad=1,
                    why="`levada dead-letters` lists, replays and drops them.",
                ),
            ],
        ),
        Row(
            "Kafka",
            [
                Panel(
                    "Processes that reach Kafka",
                    [
                        (f"sum (levada_kafka_up{{{_job('')}}})", "reach it"),
                        (f"count (levada_kafka_up{{{_job('')}}})", "should"),
                    ],
                ),
                Panel(
                    "Clients made anew",
                    [(rate("levada_kafka_rebuilds_total", "job"), "{{job}}")],
                    "ops",
                    "Producers and consumers that the watchdogs threw away.",
                ),
                Panel(
                    "Sent and not confirmed",
                    [(total("levada_kafka_unconfirmed_bytes", "instance"), "{{instance}}")],
                    "bytes",
                ),
                Panel(
                    "Acknowledged, not applied",
                    [(largest("levada_ingress_waiting"), "commands")],
                    why="What api, webhook and scheduler have promised. It is in Postgres and survives the loss of Kafka.",
                    warn=1000,
                    bad=20_000,
                ),
                Panel(
                    "Age of the oldest of them",
                    [(largest("levada_ingress_age_seconds"), "oldest")],
                    "s",
                    warn=30,
                    bad=120,
                ),
                Panel(
                    "Put on the bus again",
                    [
                        (rate("levada_ingress_resent_total"), "commands"),
                        (rate("levada_kafka_foreign_records_total"), "records of other installations"),
                    ],
                    "ops",
                ),
            ],
        ),
        Row(
            "Postgres",
            [
                Panel(
                    "Processes that reach Postgres",
                    [
                        (f"sum (levada_database_up{{{_job('')}}})", "reach it"),
                        (f"count (levada_database_up{{{_job('')}}})", "should"),
                    ],
                ),
                Panel(
                    "Clock against the database's",
                    [(largest("levada_clock_skew_seconds", "instance"), "{{instance}}")],
                    "s",
                    "Beyond 10 s a process is not ready.",
                    warn=2,
                    bad=10,
                ),
                Panel("Transaction of the executor", quantiles("levada_executor_commit_seconds"), "s"),
            ],
        ),
        Row(
            "Indexer",
            [
                Panel(
                    "Entries written",
                    [(rate("levada_indexer_records_total", "topic"), "{{topic}}")],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Entries in a transaction",
                    [
                        (quantile(0.5, "levada_indexer_batch_records", "topic"), "{{topic}} p50"),
                        (quantile(0.95, "levada_indexer_batch_records", "topic"), "{{topic}} p95"),
                    ],
                ),
                Panel(
                    "Transaction", [(quantile(0.95, "levada_indexer_commit_seconds", "topic"), "{{topic}} p95")], "s"
                ),
                Panel(
                    "Records that could not be read",
                    [(rate("levada_indexer_errors_total", "topic"), "{{topic}}")],
                    "ops",
                ),
                Panel(
                    "Audit records",
                    [(rate("levada_audit_records_total", "outcome"), "{{outcome}}")],
                    "ops",
                    stacked=True,
                ),
                Panel(
                    "Spans that could not be sent",
                    [(rate("levada_spans_dropped_total", "reason"), "{{reason}}")],
                    "ops",
                ),
            ],
        ),
    ],
)

INGESTION = Dashboard(
    "levada-ingestion",
    "Levada / Scheduler, webhooks and API",
    "Where executions come from.",
    [
        Row(
            "Schedules",
            [
                Panel(
                    "Dates handled",
                    [(rate("levada_trigger_fires_total", "outcome"), "{{outcome}}")],
                    "ops",
                    "`lost` went to another scheduler, which is normal with several.",
                    stacked=True,
                ),
                Panel(
                    "Lateness",
                    quantiles("levada_trigger_lateness_seconds"),
                    "s",
                    "From a date until its execution was asked for.",
                    warn=2,
                    bad=30,
                ),
                Panel(
                    "Schedules",
                    [(largest("levada_triggers"), "in force"), (largest("levada_triggers_broken"), "broken")],
                ),
            ],
        ),
        Row(
            "Webhooks",
            [
                Panel(
                    "Requests",
                    [(rate("levada_webhooks_total", "outcome"), "{{outcome}}")],
                    "ops",
                    "By what came of them; numbers are statuses of HTTP.",
                    stacked=True,
                ),
                Panel(
                    "Answered within",
                    quantiles("levada_http_request_seconds", 'route=~".*/webhook/.*"'),
                    "s",
                    warn=0.25,
                    bad=1,
                ),
                Panel(
                    "Refused",
                    [(rate("levada_webhooks_total", "outcome", 'outcome=~"4..|5.."'), "{{outcome}}")],
                    "ops",
                ),
            ],
        ),
        Row(
            "API",
            [
                Panel(
                    "Requests by route",
                    [(f"topk(10, {rate('levada_http_requests_total', 'method, route')})", "{{method}} {{route}}")],
                    "reqps",
                    width=12,
                ),
                Panel(
                    "Slowest routes (p95)",
                    [
                        (
                            f"topk(10, {quantile(0.95, 'levada_http_request_seconds', 'method, route', NO_WAITING)})",
                            "{{method}} {{route}}",
                        )
                    ],
                    "s",
                    width=12,
                ),
                Panel("Answers", [(rate("levada_http_requests_total", "status"), "{{status}}")], "ops", stacked=True),
                Panel(
                    "Errors of the server",
                    [
                        (
                            share("levada_http_requests_total", 'status=~"5.."'),
                            "of all answers",
                        )
                    ],
                    "percentunit",
                    warn=0.01,
                    bad=0.05,
                ),
                Panel(
                    "Requests that are being answered",
                    [(total("levada_http_requests_open", "instance"), "{{instance}}")],
                    why="Event streams and waiting callers included.",
                ),
            ],
        ),
    ],
)

DASHBOARDS = (OVERVIEW, EXECUTOR, WORKERS, BUS, INGESTION)


# --- the JSON of Grafana


def documents() -> dict[str, str]:
    """Return every file by its name."""
    return {f"{each.uid}.json": json.dumps(_document(each), indent=1, ensure_ascii=False) + "\n" for each in DASHBOARDS}


def _document(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["levada"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "Levada",
                "tags": ["levada"],
                "asDropdown": True,
                "keepTime": True,
                "includeVars": True,
            }
        ],
        "templating": {"list": [_datasource(), _jobs()]},
        "annotations": {"list": []},
        "panels": list(_panels(dashboard)),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _jobs() -> dict[str, Any]:
    return {
        "name": "job",
        "label": "Job",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": "label_values(levada_service_info, job)", "refId": "jobs"},
        "definition": "label_values(levada_service_info, job)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for row in dashboard.rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": _place(0, y, WIDTH, 1),
        }
        y, x, height = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            number += 1
            yield _panel(panel, number, _place(x, y, panel.width, panel.height))
            x, height = x + panel.width, max(height, panel.height)
        y += height


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.why,
        "datasource": SOURCE,
        "gridPos": dict(place),
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend or "__auto",
                "range": True,
            }
            for place, (expr, legend) in enumerate(panel.asks)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
    }
    if panel.kind == "stat":
        made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
    else:
        made["options"] = {
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return made


def _defaults(panel: Panel) -> dict[str, Any]:
    out: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": _steps(panel)}}
    if panel.decimals is not None:
        out["decimals"] = panel.decimals
    if panel.unit == "percentunit" and panel.kind == "stat":
        out["max"] = 1
    if panel.title.startswith("Clock"):
        del out["min"]  # it may be behind as well
    if panel.kind == "timeseries":
        out["color"] = {"mode": "palette-classic"}
        out["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 25 if panel.stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "dashed" if panel.warn is not None or panel.bad is not None else "off"},
        }
    else:
        out["color"] = {"mode": "thresholds"}
    return out


def _steps(panel: Panel) -> list[dict[str, Any]]:
    if panel.below:
        return [{"color": RED, "value": None}, {"color": GREEN, "value": panel.bad}]
    steps: list[dict[str, Any]] = [{"color": GREEN, "value": None}]
    steps += [
        {"color": colour, "value": at} for colour, at in ((YELLOW, panel.warn), (RED, panel.bad)) if at is not None
    ]
    return steps


def main() -> None:
    HERE.mkdir(exist_ok=True)
    for name, text in documents().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
