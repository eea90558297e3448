"""How long compiling and rendering expressions take.

Run with `.venv/bin/python load-tests/render.py`; add `--output json` for numbers only. The first line is the promise: a short
expression with a path, `??` and a filter renders in at most 5 microseconds once compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from levada import expr

ROUNDS = 15
ROUND_S = 0.05
LIMIT_US = 5.0

VARIABLES: dict[str, Any] = {
    **{f"key{n}": n for n in range(100)},
    "outputs": {"a": {"values": {"b": "hello"}}},
    "inputs": {"name": "world", "rows": [{"id": n, "name": f"n{n}"} for n in range(100)]},
    "taskrun": {"value": "x", "startDate": "2024-05-17T08:09:10Z"},
    "flow": {"id": "f", "namespace": "company.team"},
}
SHORT = "{{ outputs.a.values.b ?? 'x' | upper }}"
TEMPLATES = {
    "short": SHORT,
    "missing with ??": "{{ outputs.nope.values.b ?? 'x' | upper }}",
    "one variable": "{{ inputs.name }}",
    "text around two": "Hello {{ inputs.name }} from {{ flow.namespace }}!",
    "condition": "{{ outputs.a.values.b == 'hello' and inputs.rows | length > 5 }}",
    "date": "{{ taskrun.startDate | date('yyyy-MM-dd') }}",
    "map as json": "{{ inputs.rows }}",
    "loop of 100": "{% for r in inputs.rows %}{{ r.id }}:{{ r.name | upper }};{% endfor %}",
}


def measure(run: Callable[[], Any]) -> tuple[float, float]:
    """Return the least and the median time of one call, in microseconds."""
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < ROUND_S / 5:
        run()
        count += 1
    count = max(1, count * 5)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(count):
            run()
        times.append((time.perf_counter() - start) / count * 1e6)
    return min(times), statistics.median(times)


def scenarios() -> dict[str, Callable[[], Any]]:
    """Name what is measured."""
    found: dict[str, Callable[[], Any]] = {}
    for name, source in TEMPLATES.items():
        found[f"render: {name}"] = partial(expr.compile(source).render, VARIABLES)
    found["render(): short, cache looked up"] = lambda: expr.render(SHORT, VARIABLES)
    found["render(): static text"] = lambda: expr.render("just text without markup", VARIABLES)
    found["compile: short, not cached"] = lambda: expr.Template(SHORT)
    found["references: short, cached"] = lambda: expr.references(SHORT)
    return found


def machine() -> dict[str, Any]:
    """Return what the numbers were taken on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def main() -> int:
    """Measure everything; 1 when the promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", choices=("text", "json"), default="text")
    output = parser.parse_args().output
    results = {name: measure(run) for name, run in scenarios().items()}
    if output == "json":
        print(
            json.dumps(
                {"machine": machine(), "us": {name: {"min": a, "median": b} for name, (a, b) in results.items()}}
            )
        )
    else:
        print(", ".join(f"{key} {value}" for key, value in machine().items()))
        print(f"{'microseconds':40} {'min':>9} {'median':>9}")
        for name, (least, median) in results.items():
            print(f"{name:40} {least:9.2f} {median:9.2f}")
    kept = results["render: short"][0] <= LIMIT_US
    print(f"{'kept' if kept else 'BROKEN'}: {SHORT} in at most {LIMIT_US} us", file=sys.stderr)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
