"""The JSON that Grafana wants, made from what panels say, so that all panels look alike.

Panels flow from left to right and then down, in rows of 24 columns; their ids are their places in that order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from boards.panels import Dashboard, Panel

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED = "green", "orange", "red"
WIDTH = 24


def text_of(dashboard: Dashboard) -> str:
    """Return the file that Grafana imports."""
    return json.dumps(_document(dashboard), indent=1, ensure_ascii=False) + "\n"


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
