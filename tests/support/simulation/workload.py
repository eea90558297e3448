"""Random flows, written as flow files: JSON is YAML, so they take the real path through the reader.

Every flow ends by itself: loops have ceilings, pauses a duration.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

NAMESPACE = "sim"
WORK = "simulation.Work"
#: Seconds that the tasks of a flow take.
PACES = ((0.05, 0.5), (0.05, 0.5, 1.5, 4.0), (4.0, 12.0))


@dataclass(slots=True)
class Planned:
    """A flow of the workload: its id, source, and concurrency limit."""

    id: str
    source: str
    limit: int | None = None
    #: (flow, task) of tasks that must not run again when their worker is lost.
    once: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Names:
    flow: str
    pace: tuple[float, ...]
    count: int = 0
    once: list[tuple[str, str]] = field(default_factory=list)

    def next(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"


def draw_flows(chance: random.Random) -> list[Planned]:
    """Return some flows; the first is a child that others may start, the second has a concurrency limit."""
    child = _flow(chance, "child", depth=1, size=2, subflows=False)
    limited = _flow(chance, "limited", depth=1, size=2, subflows=False, limit=chance.choice([1, 1, 2]))
    others = [_flow(chance, f"flow{n}", depth=2, size=3, subflows=True) for n in range(chance.randint(1, 3))]
    return [child, limited, *others]


def _flow(
    chance: random.Random, id: str, *, depth: int, size: int, subflows: bool, limit: int | None = None
) -> Planned:
    names = _Names(id, chance.choice(PACES))
    flow: dict[str, Any] = {
        "id": id,
        "namespace": NAMESPACE,
        "tasks": [_task(chance, names, depth, subflows) for _ in range(chance.randint(1, size))],
    }
    if chance.random() < 0.3:
        flow["errors"] = [_leaf(chance, names)]
    if chance.random() < 0.3:
        flow["finally"] = [_leaf(chance, names)]
    if chance.random() < 0.25:
        flow["afterExecution"] = [_work(chance, names)]
    if chance.random() < 0.12:
        flow["retry"] = {
            "type": "constant", "interval": "PT1S", "maxAttempts": 2, "behavior": "CREATE_NEW_EXECUTION",
        }  # fmt: skip
    if chance.random() < 0.08:
        flow["sla"] = [
            {"id": "sla", "type": "MAX_DURATION", "duration": "PT6S", "behavior": chance.choice(["CANCEL", "FAIL"])}
        ]
    if limit is not None:
        flow["concurrency"] = {"limit": limit, "behavior": "QUEUE"}
    return Planned(id, json.dumps(flow), limit, names.once)


def _work(chance: random.Random, names: _Names) -> dict[str, Any]:
    task: dict[str, Any] = {
        "id": names.next("work"),
        "type": WORK,
        "seconds": chance.choice(names.pace),
        "fails": chance.choice([0.0, 0.0, 0.0, 0.3]),
    }
    x = chance.random()
    if x < 0.25:
        task["retry"] = {"type": "constant", "interval": chance.choice(["PT2S", "PT6S"]), "maxAttempts": 4}
        task["fails"] = chance.choice([0.0, 0.3, 0.7])
    elif x < 0.45:
        task["onWorkerLost"] = "fail"
        names.once.append((names.flow, task["id"]))
    if chance.random() < 0.1:
        task["timeout"] = "PT2S"
    if chance.random() < 0.1:
        task["deaf"] = chance.choice([1.0, 5.0, 30.0])
    if chance.random() < 0.15:
        task["allowFailure"] = True
    return task


def _leaf(chance: random.Random, names: _Names) -> dict[str, Any]:
    match chance.choice(["work", "work", "work", "log", "sleep", "return", "fail"]):
        case "log":
            return {"id": names.next("log"), "type": "core.log.Log", "message": "{{ execution.id }}"}
        case "sleep":
            return {"id": names.next("sleep"), "type": "core.flow.Sleep", "duration": chance.choice(["PT1S", "PT3S"])}
        case "return":
            return {"id": names.next("return"), "type": "core.debug.Return", "format": "{{ taskrun.id }}"}
        case "fail":
            task = {
                "id": names.next("fail"),
                "type": "core.execution.Fail",
                "condition": chance.choice(["true", "false"]),
            }
            if chance.random() < 0.5:
                task["allowFailure"] = True
            return task
        case _:
            return _work(chance, names)


def _task(chance: random.Random, names: _Names, depth: int, subflows: bool) -> dict[str, Any]:
    kinds = ["leaf", "leaf", "leaf", "pause"]
    if depth:
        kinds += ["sequential", "parallel", "foreach", "foreach", "if", "allow", "until"]
    if subflows:
        kinds.append("subflow")
    kind = chance.choice(kinds)
    if kind == "leaf":
        return _leaf(chance, names)
    if kind == "pause":
        return _pause(chance, names)
    if kind == "subflow":
        return _subflow(chance, names)
    id_ = names.next(kind)
    children = [_task(chance, names, depth - 1, subflows) for _ in range(chance.randint(1, 2))]
    task = {"id": id_, **_container(chance, kind, children)}
    if kind != "if" and chance.random() < 0.2:
        task["errors"] = [_leaf(chance, names)]
    if chance.random() < 0.2:
        task["finally"] = [_leaf(chance, names)]
    return task


def _container(chance: random.Random, kind: str, children: list[dict[str, Any]]) -> dict[str, Any]:
    match kind:
        case "sequential":
            return {"type": "core.flow.Sequential", "tasks": children}
        case "parallel":
            return {"type": "core.flow.Parallel", "concurrent": chance.randint(0, 2), "tasks": children}
        case "foreach":
            values = [f"v{n}" for n in range(chance.randint(1, 4))]
            limit = chance.randint(0, 2)
            return {"type": "core.flow.ForEach", "values": values, "concurrencyLimit": limit, "tasks": children}
        case "if":
            return {"type": "core.flow.If", "condition": chance.choice(["true", "false"]), "then": children}
        case "allow":
            return {"type": "core.flow.AllowFailure", "tasks": children}
        case _:
            often = {"interval": chance.choice(["PT1S", "PT4S"]), "maxIterations": chance.randint(1, 3)}
            return {"type": "core.flow.LoopUntil", "condition": "false", "checkFrequency": often, "tasks": children}


def _pause(chance: random.Random, names: _Names) -> dict[str, Any]:
    behavior = chance.choice(["RESUME", "RESUME", "WARN", "FAIL", "CANCEL"])
    length = chance.choice(["PT1S", "PT4S"])
    return {"id": names.next("pause"), "type": "core.flow.Pause", "pauseDuration": length, "behavior": behavior}


def _subflow(chance: random.Random, names: _Names) -> dict[str, Any]:
    return {
        "id": names.next("subflow"),
        "type": "core.flow.Subflow",
        "namespace": NAMESPACE,
        "flowId": chance.choice(["child", "child", "limited"]),
        "wait": chance.random() < 0.8,
        "transmitFailed": chance.random() < 0.7,
    }
