"""The jobs port: the work queue between executor and workers, and the worker's line back to the control plane.

The lease row of an attempt is the truth: `claim` hands out a submitted attempt exactly once, under a token. Submitting
is part of the executor's commit (store), never of this port. A claim is handed out when its `TaskStarted` is on the bus;
`report` appends results; both travel in batches. One contract suite runs over every adapter.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from levada.model.commands import TaskFinished, TaskProgressed
from levada.model.jobs import Claim, Grant, Held, Job


class Jobs(Protocol):
    """All methods raise `Transient` when the control plane is away."""

    async def claim(
        self, worker: str, queues: Sequence[str], limit: int, *, timeout_s: float, tags: Collection[str] = ()
    ) -> list[Claim]:
        """Return up to `limit` attempts, by priority then age; waits up to `timeout_s` for the first.

        Attempts that ask for tags go to workers that carry them (model/routes.py), all others to anybody of the queue.
        Cancelling the call gives back what was claimed for it.
        """

    async def renew(self, worker: str, held: Sequence[Held]) -> list[Held]:
        """Extend the leases of `held`; return those that must stop: lost, cancelled or of an ended execution."""

    async def cancelled(self, worker: str, *, timeout_s: float) -> list[Held]:
        """Return attempts of this worker that were asked to stop; waits up to `timeout_s` for the first."""

    async def report(self, results: Sequence[TaskFinished | TaskProgressed]) -> None:
        """Hand in results durably. A result of an old attempt or token is refused later by the engine, not here."""

    async def close(self) -> None: ...


class LeaseKeeper(Protocol):
    """What the executor's housekeeping needs of the same rows."""

    async def expire(self, limit: int) -> int:
        """Turn leases that ran out into `WorkerLost` commands on the bus; return how many.

        A lease that was marked but not forgotten (a crash in between) is turned into one again.
        """


class Stranded(Protocol):
    """Waiting attempts that nobody will take, because no worker serves their route (model/routes.py)."""

    async def routes(self) -> list[str]:
        """Return the routes that have something waiting."""

    async def stranded(self, route: str, older_us: int, limit: int) -> list[Job]:
        """Return attempts of a route that have waited for so long and say what to do without a worker (`if_no_worker`)."""

    async def refuse(self, jobs: Sequence[Job], who: str, why: str) -> list[Job]:
        """Fail these attempts, if they still wait, in the name of `who`; return which."""

    async def reroute(self, jobs: Sequence[Job], route: str) -> list[Job]:
        """Let these attempts, if they still wait, be taken by the workers of another route; return which."""


class LeaseReader(Protocol):
    """What the worker gateway asks about claims that somebody shows. `looks`: how often work was looked for so far."""

    @property
    def looks(self) -> int: ...

    async def grants(self, held: Sequence[Held]) -> list[Grant | None]:
        """Return what each claim is worth, in order; None for one that is replaced, forged or forgotten."""
