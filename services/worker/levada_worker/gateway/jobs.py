"""The work queue over HTTP: `levada.jobs.port.Jobs`.

Long questions are bounded on both sides: the gateway answers at the latest after the time asked for, and an answer that is
much later than that is not waited for. A claim whose answer never came is given back by the gateway.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence

from levada.model.commands import TaskFinished, TaskProgressed
from levada.model.jobs import Claim, Held
from levada.runtime import wire
from levada_worker.gateway.connection import Gateways

LATE_S = 5.0
#: A gateway that does not answer a renewal within this share of the lease is taken for frozen.
RENEW_SHARE = 1 / 9
REPORT_S = 10.0
#: A batch of results is cut so that a request stays of this size, unless one result alone is larger.
REPORT_BYTES = 4 * 1024 * 1024
REMEMBERED = 20_000


class Claims:
    """The latest claim of every execution that this worker runs or ran: what its log lines are sent under."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Held] = OrderedDict()

    def add(self, claim: Claim) -> None:
        job = claim.job
        self._held[job.execution_id] = Held(job.execution_id, job.task_run_id, job.attempt, claim.token)
        self._held.move_to_end(job.execution_id)
        while len(self._held) > REMEMBERED:
            self._held.popitem(last=False)

    def of(self, execution_id: str) -> Held | None:
        return self._held.get(execution_id)


class HttpJobs:
    def __init__(self, gateways: Gateways, claims: Claims, *, lease_s: float = 30.0) -> None:
        """`lease_s` bounds how long a silent gateway is waited for, so that another can be asked before it is over."""
        self._gateways = gateways
        self._claims = claims
        self._renew_s = max(lease_s * RENEW_SHARE, 0.5)

    async def claim(
        self, worker: str, queues: Sequence[str], limit: int, *, timeout_s: float, tags: Collection[str] = ()
    ) -> list[Claim]:
        wanted = wire.ClaimWanted(worker=worker, queues=list(queues), limit=limit, timeout_s=timeout_s, tags=list(tags))
        claims: list[Claim] = await self._gateways.ask("/claim", wanted, list[Claim], answer_s=timeout_s + LATE_S)
        for claim in claims:
            self._claims.add(claim)
        return claims

    async def renew(self, worker: str, held: Sequence[Held]) -> list[Held]:
        if not held:
            return []
        wanted = wire.Renewal(worker=worker, held=list(held))
        lost: list[Held] = await self._gateways.ask("/renew", wanted, list[Held], answer_s=self._renew_s)
        return lost

    async def cancelled(self, worker: str, *, timeout_s: float) -> list[Held]:
        wanted = wire.CancelsWanted(worker=worker, timeout_s=timeout_s)
        found: list[Held] = await self._gateways.ask("/cancelled", wanted, list[Held], answer_s=timeout_s + LATE_S)
        return found

    async def report(self, results: Sequence[TaskFinished | TaskProgressed]) -> None:
        """In several requests when they are large; repeating those that went through does no harm."""
        encoded = [wire.encode(one) for one in results]
        start = 0
        while start < len(encoded):
            end, size = start + 1, len(encoded[start])
            while end < len(encoded) and size + len(encoded[end]) <= REPORT_BYTES:
                size += len(encoded[end])
                end += 1
            await self._gateways.ask("/report", list(results[start:end]), None, answer_s=REPORT_S)
            start = end

    async def close(self) -> None:
        """The gateways belong to whoever made them."""
