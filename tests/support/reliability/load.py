"""Clients that start executions at a given rate, whatever happens to the servers, and remember every promise they were given.

    with Load(urls, rate=25, seed=7, flows=workload.names("webhook")) as load: …
    load.acks       what was answered with 2xx: from that moment on no fault may lose it
    load.refused    answers that a right request must not get

A request that breaks off may have happened or not. Where the api knows an idempotency key (webhooks) it is sent again
under the same key, to another server, until it is answered; elsewhere nobody may rely on it, and nobody does. 429 and 503
say "not now": the client waits and goes on. Each server has its own connections; who does not answer is passed over.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
from installation import TERMINAL

from reliability.records import Ack
from reliability.workload import FLOWS, NAMESPACE, WEBHOOK_KEY, Flow

TIMEOUT_S = 8.0
IN_FLIGHT = 200
PATIENCE_S = 60.0
"""How long a client tries what it must bring to its end: a resume, a webhook under its key."""

LABELS = 3


@dataclass
class Load:
    """`urls` are those of the api, `webhooks` where hooks are received (default: the api). Runs in a thread of its own."""

    urls: Sequence[str]
    rate: float = 20.0
    seed: int = 1
    flows: Sequence[str] = ("quick",)
    webhooks: Sequence[str] = ()
    acks: list[Ack] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    #: Requests that broke off or were put off, by reason.
    troubles: dict[str, int] = field(default_factory=dict)
    #: Seconds from request to acknowledgement of every start.
    waits_s: list[float] = field(default_factory=list)
    #: What broke in the load itself; `__exit__` raises it.
    broken: BaseException | None = None

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._hooked = 0

    # -- life ------------------------------------------------------------------------------------------------------
    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()
        if self.broken is not None and error is None:
            raise self.broken

    def stop(self) -> None:
        """Start nothing more; return when what was begun with resumes and keys is at its end."""
        self._stop.set()
        self._thread.join()

    @property
    def started(self) -> list[str]:
        """The ids of all executions whose start was acknowledged."""
        return [ack.execution_id for ack in self.acks if ack.kind in ("start", "webhook")]

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:  # noqa: BLE001  handed to whoever waits for this thread
            self.broken = error

    async def _live(self) -> None:
        chance = random.Random(self.seed)
        names = [name for name in self.flows if FLOWS[name].weight]
        weights = [FLOWS[name].weight for name in names]
        limits = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S, connect=2.0)
        async with aiohttp.ClientSession(connector=limits, timeout=timeout) as self._session:
            under_way: set[asyncio.Task[None]] = set()
            due = time.monotonic()
            while not self._stop.is_set():
                due = max(due + chance.expovariate(self.rate), time.monotonic() - 1.0)
                await asyncio.sleep(max(due - time.monotonic(), 0.0))
                if len(under_way) >= IN_FLIGHT:
                    self._trouble("too many in flight")
                    continue
                flow = FLOWS[chance.choices(names, weights)[0]]
                task = asyncio.create_task(self._one(flow, random.Random(chance.random())))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            for task in await _all(under_way):
                task.result()

    # -- one execution ---------------------------------------------------------------------------------------------
    async def _one(self, flow: Flow, chance: random.Random) -> None:
        if flow.id == "hooked":
            await self._hook(flow, chance)
            return
        id_ = await self._start(flow, chance)
        if id_ is None:
            return
        if flow.follow == "resume":
            await asyncio.sleep(chance.random())
            await self._resume(id_, flow, chance)
        elif flow.follow == "kill":
            await asyncio.sleep(chance.random() * 2)
            await self._kill(id_, flow, chance)
        elif flow.follow == "label":
            await self._label(id_, flow, chance)

    async def _start(self, flow: Flow, chance: random.Random) -> str | None:
        asked = time.monotonic()
        status, body = await self._ask("POST", self.urls, f"/executions/{NAMESPACE}/{flow.id}", chance)
        if status != 200:
            return None
        self.waits_s.append(time.monotonic() - asked)
        self._ack("start", body["id"], flow)
        return str(body["id"])

    async def _hook(self, flow: Flow, chance: random.Random) -> None:
        """Call the webhook under one key until it is answered."""
        self._hooked += 1
        key = f"{self.seed}-{self._hooked}"
        path = f"/executions/webhook/{NAMESPACE}/{flow.id}/{WEBHOOK_KEY}"
        urls = self.webhooks or self.urls
        more: dict[str, Any] = {"json": {"key": key}, "headers": {"Idempotency-Key": key}}
        status, body = await self._until(lambda: self._ask("POST", urls, path, chance, **more))
        if status in (200, 201, 202):
            self._ack("webhook", str(body.get("id") or body.get("executionId") or ""), flow, key=key)

    async def _resume(self, id_: str, flow: Flow, chance: random.Random) -> None:
        """Resume it as often as it is found paused, until it has ended: a resume without an answer may have happened."""

        async def resumed() -> tuple[int, Any]:
            status, body = await self._ask("GET", self.urls, f"/executions/{id_}", chance, quietly=True)
            state = body["state"]["current"] if status == 200 else ""
            if state == "PAUSED":
                status, _ = await self._ask("POST", self.urls, f"/executions/{id_}/resume", chance, quietly=True)
                if status in (200, 204):
                    self._ack("resume", id_, flow)
            return (200, None) if state in TERMINAL else (0, None)

        await self._until(resumed)

    async def _kill(self, id_: str, flow: Flow, chance: random.Random) -> None:
        status, _ = await self._ask("DELETE", self.urls, f"/executions/{id_}/kill", chance, quietly=True)
        # Whether or not it was heard, it may have happened.
        self._ack("kill", id_, flow, number=status)

    async def _label(self, id_: str, flow: Flow, chance: random.Random) -> None:
        """Once it has ended, set the label `n` to 1, 2, 3, each when the one before was acknowledged; stop where none was."""

        async def ended() -> tuple[int, Any]:
            status, body = await self._ask("GET", self.urls, f"/executions/{id_}", chance, quietly=True)
            return (status, None) if status == 200 and body["state"]["current"] in TERMINAL else (0, None)

        await self._until(ended)
        for number in range(1, LABELS + 1):
            body = [{"key": "n", "value": str(number)}]
            status, _ = await self._ask("POST", self.urls, f"/executions/{id_}/labels", chance, json=body, quietly=True)
            if status not in (200, 204):
                return
            self._ack("label", id_, flow, number=number)

    async def _until(self, act: Callable[[], Awaitable[tuple[int, Any]]]) -> tuple[int, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            status, body = await act()
            if 200 <= status < 300:
                return status, body
            await asyncio.sleep(0.3)
        self._trouble("given up")
        return 0, None

    # -- requests --------------------------------------------------------------------------------------------------
    async def _ask(
        self, method: str, urls: Sequence[str], path: str, chance: random.Random, *, quietly: bool = False, **more: Any
    ) -> tuple[int, Any]:
        """Return status and body; (0, None) when nobody answered. `quietly`: a 4xx may be right here."""
        url = chance.choice(urls)
        try:
            async with self._session.request(method, f"{url}/api/v1/main{path}", **more) as response:
                text = await response.text()
                if response.ok:
                    return response.status, await response.json() if text else {}
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._trouble(type(error).__name__)
            return 0, None
        if response.status in (429, 503) or quietly:
            self._trouble(f"{response.status} {path.rpartition('/')[2]}")
        else:
            self.refused.append(f"{method} {path}: {response.status} {text[:300]}")
        return response.status, None

    def _ack(self, kind: str, id_: str, flow: Flow, *, key: str = "", number: int = 0) -> None:
        self.acks.append(Ack(kind, time.time(), id_, flow.id, key, number))

    def _trouble(self, reason: str) -> None:
        self.troubles[reason] = self.troubles.get(reason, 0) + 1


async def _all(tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    if not tasks:
        return set()
    done, _ = await asyncio.wait(tasks)
    return done
