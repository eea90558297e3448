"""The state machine: what it decides, how long its transactions take, who owns which partitions."""

from __future__ import annotations

from boards.panels import Dashboard, Panel, Row, largest, quantile, quantiles, rate, total

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
            "Rebalances",
            [
                Panel(
                    "Pause of partitions that changed hands",
                    quantiles("levada_rebalance_pause_seconds", 'topic="commands"'),
                    "s",
                    "From when it was given back, or the lease of its owner ran out, until the next executor has it.",
                    width=12,
                    warn=3,
                    bad=10,
                ),
                Panel(
                    "The same for the indexer (p95)",
                    [(quantile(0.95, "levada_rebalance_pause_seconds", "topic", 'topic!="commands"'), "{{topic}}")],
                    "s",
                    "What indexers write later is no harm; a pause that does not end is.",
                    width=12,
                    warn=10,
                    bad=60,
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
