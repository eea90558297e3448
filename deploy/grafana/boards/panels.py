"""What a dashboard is made of, and the ways to ask that its panels share.

A panel says what it asks and why, a line each; how it looks is decided in one place (document.py). `$job` is the variable of
scrape jobs; every selector gets it. Gauges that all api processes show alike (queues, lag, dead letters) are aggregated with
`largest`, all else with `total`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


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
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{selector(where)}}}[$__rate_interval]))"


def share(metric: str, where: str) -> str:
    """Return the share of what happened; 0 while nothing of the kind ever has."""
    return f"({rate(metric, where=where)} or vector(0)) / {rate(metric)}"


def quantile(q: float, metric: str, by: str = "", where: str = "") -> str:
    inside = rate(f"{metric}_bucket", f"le, {by}" if by else "le", where)
    return f"histogram_quantile({q:g}, {inside})"


def quantiles(metric: str, where: str = "") -> list[tuple[str, str]]:
    return [(quantile(q, metric, where=where), name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]


def largest(metric: str, by: str = "", where: str = "") -> str:
    return f"max{f' by ({by})' if by else ''} ({metric}{{{selector(where)}}})"


def total(metric: str, by: str = "", where: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} ({metric}{{{selector(where)}}})"


def selector(where: str) -> str:
    return 'job=~"$job"' + (f", {where}" if where else "")


def stat(title: str, ask: str, **more: Any) -> Panel:
    """A single number, 0 where there is nothing to be seen."""
    return Panel(title, [(f"{ask} or vector(0)", "")], kind="stat", width=4, height=4, **more)
