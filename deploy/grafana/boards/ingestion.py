"""Where executions come from: schedules, webhooks, requests to the API."""

from __future__ import annotations

from boards.panels import Dashboard, Panel, Row, largest, quantile, quantiles, rate, share, total

#: Routes whose callers wait for something to happen are slow by design.
NO_WAITING = 'route!~".*/(claim|cancelled|follow.*)"'

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
