"""How the jobs adapters hand commands to the executor.

Jobs and bus are strangers; whoever composes a process gives the adapter something that satisfies `CommandLog`.
"""

from collections.abc import Sequence
from typing import Protocol

from levada.model.commands import Command, TaskFinished, TaskStarted
from levada.model.jobs import Claim
from levada.model.states import State


class CommandLog(Protocol):
    async def send(self, commands: Sequence[Command]) -> None:
        """Append durably. Raises Transient; then they may or may not be there."""


def started(claim: Claim, worker: str, now: int) -> TaskStarted:
    """Say that `worker` has the attempt."""
    job = claim.job
    return TaskStarted(
        execution_id=job.execution_id,
        task_run_id=job.task_run_id,
        attempt=job.attempt,
        token=claim.token,
        worker=worker,
        at=now,
    )


def refused(claim: Claim, why: str, now: int) -> TaskFinished:
    """Say that the attempt failed because nobody could run it."""
    return _finished(claim, State.FAILED, now, error=why)


def given_back(claim: Claim, now: int) -> TaskFinished:
    """Say that the attempt was not run and may be handed to somebody else at once."""
    return _finished(claim, State.KILLED, now, released=True)


def _finished(
    claim: Claim, state: State, now: int, *, error: str | None = None, released: bool = False
) -> TaskFinished:
    job = claim.job
    return TaskFinished(
        execution_id=job.execution_id,
        task_run_id=job.task_run_id,
        attempt=job.attempt,
        token=claim.token,
        state=state,
        at=now,
        error=error,
        released=released,
    )
