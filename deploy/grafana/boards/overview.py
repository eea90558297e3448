"""Is everything well, and where to look if not: one row of numbers, then what happens, then the processes."""

from __future__ import annotations

from boards.panels import Dashboard, Panel, Row, largest, quantiles, rate, selector, share, stat

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
                    [
                        (
                            f"count by (service, version) (levada_service_info{{{selector('')}}})",
                            "{{service}} {{version}}",
                        )
                    ],
                ),
                Panel(
                    "Checks that say no",
                    [(f"sum by (check) (1 - levada_health_check{{{selector('')}}}) > 0", "{{check}}")],
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
