"""Who may use the gateway, and how far a task reaches.

Every request carries the token that all workers share (`worker.token`). Without one configured only workers of this machine
are let in, and only while nobody has to sign in at all. What is asked on behalf of a task carries the claim of its attempt
too: it is good while the lease lasts (and for a moment more, for what is under way), for the tenant and namespace of its
execution, and for nothing else. Answers about claims are kept for a few seconds, so a lost lease closes the door that soon.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Sequence

from aiohttp import web

from levada.jobs.port import LeaseReader
from levada.model.jobs import Claim, Grant, Held
from levada.runtime import metrics, wire
from levada.runtime.clock import Clock
from levada.runtime.config import Config
from levada_api.auth import Gate, check_host
from levada_api.errors import ApiError

#: A claim that was found good is not looked up again for so long.
KEPT_S = 3.0
#: Past the end of its lease a claim is still good for what was under way: a worker that lost it kills the task by then.
AFTERWARDS_S = 5.0
#: Lines of an attempt that ended are still taken for so long after its claim was last seen.
LINES_S = 600.0
KEPT_CLAIMS = 50_000


class Door:
    """Checks the workers' token."""

    def __init__(self, config: Config, gate: Gate) -> None:
        token = config.worker.token
        self._expected = hashlib.sha256(token.encode()).digest() if token else None
        self._locked = gate.locked

    def check(self, request: web.BaseRequest) -> None:
        """Raises Unwelcome, naming the remedy."""
        given = request.headers.get("Authorization", "")
        if self._expected is None:
            self._check_open(request)
            return
        scheme, _, token = given.partition(" ")
        digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        if scheme.lower() == "bearer" and hmac.compare_digest(digest, self._expected):
            return
        metrics.GATEWAY_REFUSED.inc("token")
        if not given:
            raise wire.Unwelcome("the gateway wants the workers' token: set worker.token (LEVADA_WORKER_TOKEN)")
        raise wire.Unwelcome("wrong token: worker.token (LEVADA_WORKER_TOKEN) must be the same on api and workers")

    def _check_open(self, request: web.BaseRequest) -> None:
        """Without a token: only this machine, while the API is open to it as well, and never a page in a browser."""
        if self._locked:
            metrics.GATEWAY_REFUSED.inc("no token configured")
            raise wire.Unwelcome(
                "this api service has no worker.token (LEVADA_WORKER_TOKEN), so it takes no workers: set the same one "
                "on api and workers"
            )
        try:
            check_host(request.headers.get("Host", ""))
        except ApiError as error:
            raise wire.Unwelcome(str(error)) from error
        if "Origin" in request.headers:
            raise wire.Unwelcome("the gateway is not for browsers")


class Claims:
    """What is known of claims that workers show."""

    def __init__(self, leases: LeaseReader, clock: Clock) -> None:
        self._leases = leases
        self._clock = clock
        self._known: OrderedDict[Held, tuple[Grant, float]] = OrderedDict()

    def dealt(self, claims: Sequence[Claim], lease_s: float) -> None:
        """Remember claims that this gateway hands out itself."""
        for claim in claims:
            job = claim.job
            held = Held(job.execution_id, job.task_run_id, job.attempt, claim.token)
            self._keep(
                Grant(
                    held=held,
                    tenant=job.tenant,
                    namespace=job.namespace,
                    flow_id=job.flow_id,
                    lease="claimed",
                    left_us=int(lease_s * 1_000_000),
                )
            )

    async def good(self, header: str | None) -> Grant:
        """Return what the claim in the header may do. Raises Forbidden."""
        held = wire.attempt_of(header)
        grant = self._recent(held, KEPT_S) or await self._looked_up(held)
        if grant is None or grant.lease not in ("claimed", "cancel"):
            metrics.GATEWAY_REFUSED.inc("claim")
            self._known.pop(held, None)
            raise wire.Forbidden(
                f"attempt {held.attempt} of task run {held.task_run_id} is over, or somebody else's: its claim opens "
                "nothing any more"
            )
        if grant.left_us / 1_000_000 + AFTERWARDS_S < self._clock.monotonic() - self._known[held][1]:
            metrics.GATEWAY_REFUSED.inc("lease")
            raise wire.Forbidden(f"the lease of attempt {held.attempt} of task run {held.task_run_id} ran out")
        return grant

    async def seen(self, held: Sequence[Held]) -> list[Grant | None]:
        """Return whose these claims are or were, for their last lines; None for those never heard of."""
        found = {one: self._recent(one, LINES_S) for one in held}
        missing = [one for one, grant in found.items() if grant is None]
        for one, grant in zip(missing, await self._leases.grants(missing), strict=True):
            found[one] = grant
            if grant is not None:
                self._keep(grant)
        return [found[one] for one in held]

    async def _looked_up(self, held: Held) -> Grant | None:
        (grant,) = await self._leases.grants([held])
        if grant is not None:
            self._keep(grant)
        return grant

    def _recent(self, held: Held, seconds: float) -> Grant | None:
        grant, at = self._known.get(held, (None, 0.0))
        return grant if self._clock.monotonic() - at < seconds else None

    def _keep(self, grant: Grant) -> None:
        self._known[grant.held] = (grant, self._clock.monotonic())
        self._known.move_to_end(grant.held)
        while len(self._known) > KEPT_CLAIMS:
            self._known.popitem(last=False)
