"""Queues, slots and attempts, and the gateway between workers and the rest."""

from __future__ import annotations

from boards.panels import Dashboard, Panel, Row, largest, quantiles, rate, total

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
