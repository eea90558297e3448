"""When a failed attempt is tried again. Which policy: the task's own, else that of the nearest enclosing flowable that
has one, else the flow's. Exponential delays grow by the factor from the first retry on, capped at `max_interval`.
"""

import hashlib

from levada.engine.plan import Node, Plan
from levada.model.execution import ExecutionHead, TaskRun
from levada.model.flow import Retry

DEFAULT_INTERVAL_US = 1_000_000


def policy(plan: Plan, node: Node) -> tuple[Retry | None, bool]:
    """Return the policy for a failed task and whether it is the flow's."""
    place: Node | None = node
    while place is not None:
        if place.task.retry is not None:
            return place.task.retry, False
        place = place.parent
    return plan.flow.retry, plan.flow.retry is not None


def delay(retry: Retry, attempt: int, seed: str) -> int:
    """Return the microseconds to wait after failed attempt `attempt` (1-based). `seed` decides the random kind."""
    if retry.type == "random":
        low = retry.min_interval or 0
        high = max(retry.max_interval or low, low)
        digest = hashlib.blake2b(f"{seed}/{attempt}".encode(), digest_size=8).digest()
        return low + int.from_bytes(digest, "big") % (high - low + 1)
    interval = retry.interval if retry.interval is not None else DEFAULT_INTERVAL_US
    if retry.type == "exponential":
        grown = interval * retry.delay_factor ** min(attempt - 1, 200)
        return int(min(grown, retry.max_interval if retry.max_interval is not None else grown))
    return interval


def next_due(retry: Retry, run: TaskRun, now: int) -> int | None:
    """Return when to try `run` again, or None when the policy is exhausted.

    `max_attempts` counts the first try. `max_duration` runs from the start of the first attempt; a retry that would start
    later is not made.
    """
    made = max(run.attempt, 1)
    if retry.max_attempts is not None and made >= retry.max_attempts:
        return None
    due = now + delay(retry, made, run.id)
    if retry.max_duration is not None:
        first = run.attempts[0].history[0][1] if run.attempts else run.history[0][1]
        if due > first + retry.max_duration:
            return None
    return due


def next_execution_due(retry: Retry, x: ExecutionHead, now: int) -> int | None:
    """Return when to start the next execution under CREATE_NEW_EXECUTION, or None when the policy is exhausted."""
    if retry.max_attempts is not None and x.attempt_number >= retry.max_attempts:
        return None
    due = now + delay(retry, x.attempt_number, x.id)
    if retry.max_duration is not None and due > (x.original_created or x.created) + retry.max_duration:
        return None
    return due
