"""What travels between the services and how far its readers are behind: Kafka, Postgres, the indexer."""

from __future__ import annotations

from boards.panels import Dashboard, Panel, Row, largest, quantile, quantiles, rate, selector, total

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
                        (f"sum (levada_kafka_up{{{selector('')}}})", "reach it"),
                        (f"count (levada_kafka_up{{{selector('')}}})", "should"),
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
                        (rate("levada_kafka_shared_groups_total"), "their offsets in our groups"),
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
                        (f"sum (levada_database_up{{{selector('')}}})", "reach it"),
                        (f"count (levada_database_up{{{selector('')}}})", "should"),
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
