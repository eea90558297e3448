"""Clients that start executions without pause and remember every one that the server said yes to.

What was answered with 200 is acknowledged: from that moment on no fault may lose it. A request that broke off may have
happened or not; its token tells later how often it did.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from installation import Client, Installation, shell

PAUSE_S = 0.02
QUICK = """
id: quick
namespace: chaos
tasks:
  - id: value
    type: core.output.OutputValues
    values:
      of: "{{ execution.id }}"
  - id: say
    type: core.log.Log
    message: "{{ outputs.value.values.of }}"
"""
MIXED = """
id: mixed
namespace: chaos
tasks:
  - id: work
    type: scripts.shell.Commands
    commands:
      - echo "{{ execution.id }} {{ taskrun.attemptsCount }}" >> LEDGER
  - id: child
    type: core.flow.Subflow
    namespace: chaos
    flowId: quick
    wait: true
  - id: each
    type: core.flow.ForEach
    values: [a, b, c]
    concurrencyLimit: 0
    tasks:
      - id: say
        type: core.log.Log
        message: "{{ taskrun.value }}"
  - id: nap
    type: core.flow.Sleep
    duration: PT0.2S
"""
LIMITED = """
id: limited
namespace: chaos
concurrency:
  limit: 3
  behavior: QUEUE
tasks:
  - id: nap
    type: core.flow.Sleep
    duration: PT0.05S
"""
FLOWS = ("mixed", "limited", *["quick"] * 8)


class Pressure:
    """As a context: `clients` threads start the flows above."""

    def __init__(self, installation: Installation, *, clients: int = 3, seed: int = 1) -> None:
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        """Answers that were neither 200 nor 503: there must be none."""
        self._installation = installation
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(seed * 1000 + number),))
            for number in range(clients)
        ]

    @staticmethod
    def deploy(installation: Installation, ledger: Path) -> None:
        installation.deploy(QUICK)
        installation.deploy(LIMITED)
        installation.deploy(MIXED.replace("LEDGER", shell(ledger)))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, chance: random.Random) -> None:
        client = Client(self._installation.port, timeout_s=10.0)
        while not self._stop.wait(PAUSE_S * chance.random()):
            try:
                answer = client.request("POST", f"/api/v1/main/executions/chaos/{chance.choice(FLOWS)}")
            except (OSError, http.client.HTTPException):
                time.sleep(PAUSE_S)  # nobody is there: not acknowledged
                continue
            if answer.status == 200:
                self.acknowledged.append(str(answer.json()["id"]))
            elif answer.status != 503:
                self.refused.append(f"{answer.status} {answer.text}")
        client.close()
