"""Health and metrics: what load balancers and monitoring ask, on the management port and on the API's own.

Health says nothing that helps an attacker, so it is public. Metrics on the API's port need credentials like everything
else; the management port is for machines that are trusted to reach it.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from levada.bus.port import COMMANDS
from levada.model.states import State
from levada.store.port import ExecutionFilter
from levada_api.call import Call, json

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


async def health(call: Call) -> web.Response:
    up, document = await call.api.health.all()
    return json(document, 200 if up else 503)


async def liveness(call: Call) -> web.Response:
    up, document = await call.api.health.liveness()
    return json(document, 200 if up else 503)


async def readiness(call: Call) -> web.Response:
    up, document = await call.api.health.readiness()
    return json(document, 200 if up else 503)


async def metrics(call: Call) -> web.Response:
    """GET /metrics in the text format of Prometheus."""
    lines = [
        *metric("process_resident_memory_bytes", "gauge", "Resident memory of this process.", [("", resident_bytes())]),
        *metric(
            "process_start_time_seconds",
            "gauge",
            "When this process began, epoch seconds.",
            [("", call.api.started / 1_000_000)],
        ),
    ]
    counted = []
    for state in State:
        if not state.is_terminal:
            _, total = await call.api.platform.queries.search("main", ExecutionFilter(states=(state,)), limit=1)
            counted.append((f'{{state="{state.value}"}}', total))
    lines += metric("levada_executions", "gauge", "Executions that have not ended, by state.", counted)
    behind = sum((await call.api.platform.bus.ends(COMMANDS)).values())
    for partition in range(call.api.platform.bus.partitions):
        behind -= await call.api.platform.executions.done_off(partition)
    lines += metric(
        "levada_commands_behind", "gauge", "Commands on the bus that no executor has applied yet.", [("", behind)]
    )
    return web.Response(body="\n".join([*lines, ""]).encode(), headers={"Content-Type": _TEXT})


def metric(name: str, kind: str, doc: str, samples: Sequence[tuple[str, float]]) -> list[str]:
    return [f"# HELP {name} {doc}", f"# TYPE {name} {kind}", *(f"{name}{labels} {value}" for labels, value in samples)]


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
