"""Is this process alive, and should it get work? The answers behind `/health`, `/health/liveness` and `/health/readiness`.

A check is a named coroutine that returns details when all is well and raises when not; a check that does not answer in
time has failed. Liveness means "restarting me would help": only checks of the process itself belong there. A database
that is away makes a process unready, never dead, because restarting every process would make its return slower.

Answers are kept for a second, so that however many ask, the things behind are asked once. A no is kept for a tenth of that:
whoever waits for a process to come up, or for a fault to be over, should not wait for our memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from levada.runtime.clock import Clock

log = logging.getLogger(__name__)

Kind = Literal["liveness", "readiness"]
Check = Callable[[], Awaitable[Mapping[str, Any] | None]]

DEFAULT_TIMEOUT_S = 2.0
KEPT_S = 1.0
NO_KEPT_S = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """What one check said."""

    up: bool
    details: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        return {"status": _status(self.up), **({"details": dict(self.details)} if self.details else {})}


@dataclass(slots=True)
class _Registered:
    name: str
    check: Check
    kind: Kind
    timeout_s: float
    result: Result | None = None
    asked_at: float = 0.0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def kept(self, now: float) -> Result | None:
        """Return the last answer unless it is too old."""
        if self.result is None or now - self.asked_at >= (KEPT_S if self.result.up else NO_KEPT_S):
            return None
        return self.result


class Health:
    """The checks of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._checks: dict[str, _Registered] = {}
        self._draining: str | None = None

    def register(
        self, name: str, check: Check, *, kind: Kind = "readiness", timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        """Add a check. A name that exists is replaced: the newer part is the one that runs."""
        self._checks[name] = _Registered(name, check, kind, timeout_s)

    def drain(self, reason: str) -> None:
        """Be unready from now on, whatever the checks say: no new work for a process that is about to stop."""
        self._draining = reason

    async def liveness(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the process is alive, and the document that says so."""
        return self._document(await self._ask("liveness"))

    async def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the process wants work, and the document that says so."""
        results = await self._ask("readiness")
        if self._draining is not None:
            results["lifecycle"] = Result(False, {"reason": self._draining})
        return self._document(results)

    async def all(self) -> tuple[bool, dict[str, Any]]:
        """Return the conjunction of both, for `/health`."""
        results = await self._ask("liveness") | await self._ask("readiness")
        if self._draining is not None:
            results["lifecycle"] = Result(False, {"reason": self._draining})
        return self._document(results)

    def _document(self, results: Mapping[str, Result]) -> tuple[bool, dict[str, Any]]:
        up = all(result.up for result in results.values())
        details = {name: {"name": name, **result.document()} for name, result in results.items()}
        return up, {"name": "levada", "status": _status(up), "details": details}

    async def _ask(self, kind: Kind) -> dict[str, Result]:
        checks = [check for check in self._checks.values() if check.kind == kind]
        results = await asyncio.gather(*(self._result(check) for check in checks))
        return {check.name: result for check, result in zip(checks, results, strict=True)}

    async def _result(self, check: _Registered) -> Result:
        async with check.asking:
            kept = check.kept(self._clock.monotonic())
            if kept is not None:
                return kept
            fresh = await _run(check)
            was_up = check.result is None or check.result.up
            if was_up != fresh.up:
                _tell_change(check.name, fresh)
            check.result, check.asked_at = fresh, self._clock.monotonic()
            return fresh


async def _run(check: _Registered) -> Result:
    try:
        async with asyncio.timeout(check.timeout_s):
            return Result(True, await check.check() or {})
    except TimeoutError:
        return Result(False, {"error": f"no answer within {check.timeout_s:g} s"})
    except Exception as error:  # noqa: BLE001  (whatever a check raises is its answer, and the document shows it)
        return Result(False, {"error": f"{type(error).__name__}: {error}"})


def _tell_change(name: str, result: Result) -> None:
    if result.up:
        log.info("health check %s is well again", name)
    else:
        log.warning("health check %s fails: %s", name, result.details.get("error"))


def _status(up: bool) -> str:
    return "UP" if up else "DOWN"
