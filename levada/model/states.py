"""The states of executions and task runs, and the law of how they follow each other.

Whatever affects transitions lives in this file. `EXECUTION_TRANSITIONS` and `TASK_RUN_TRANSITIONS` say which state may
follow which; the engine asks them before it records anything, the picture in docs/states.md is generated from them, and
both are checked for completeness when the module is imported.

Words are Kestra's. A *terminal* state is final until a person asks for a restart, a replay or another state by hand.
"""

from enum import StrEnum


class State(StrEnum):
    CREATED = "CREATED"
    QUEUED = "QUEUED"
    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    RESTARTED = "RESTARTED"
    RETRYING = "RETRYING"
    BREAKPOINT = "BREAKPOINT"
    KILLING = "KILLING"
    RESUBMITTED = "RESUBMITTED"
    SUCCESS = "SUCCESS"
    WARNING = "WARNING"
    FAILED = "FAILED"
    KILLED = "KILLED"
    CANCELLED = "CANCELLED"
    RETRIED = "RETRIED"
    SKIPPED = "SKIPPED"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL

    @property
    def is_failed(self) -> bool:
        """True for the end states after which the following tasks of a sequence do not start."""
        return self in FAILURES


S = State
TERMINAL = frozenset({S.SUCCESS, S.WARNING, S.FAILED, S.KILLED, S.CANCELLED, S.RETRIED, S.SKIPPED})
FAILURES = frozenset({S.FAILED, S.KILLED, S.CANCELLED})
_ENDS = frozenset({S.SUCCESS, S.WARNING, S.FAILED, S.KILLED, S.CANCELLED})

#: How bad an end state is: the state of a container is the worst of its children.
SEVERITY: dict[State, int] = {S.SKIPPED: 0, S.SUCCESS: 0, S.WARNING: 1, S.FAILED: 2, S.CANCELLED: 3, S.KILLED: 4}

#: From a terminal state a person may restart the execution or overrule its state.
_REOPENED = frozenset({S.RESTARTED}) | _ENDS

EXECUTION_TRANSITIONS: dict[State, frozenset[State]] = {
    S.CREATED: frozenset({S.RUNNING, S.QUEUED, S.PAUSED, S.KILLING, S.BREAKPOINT, S.RETRIED}) | _ENDS,
    S.QUEUED: frozenset({S.RUNNING, S.KILLING, S.RETRIED}) | _ENDS,
    S.SUBMITTED: frozenset(),
    S.RUNNING: frozenset({S.PAUSED, S.KILLING, S.RETRYING, S.RETRIED, S.BREAKPOINT, S.RESTARTED}) | _ENDS,
    S.PAUSED: frozenset({S.RUNNING, S.RESTARTED, S.KILLING, S.RETRIED}) | _ENDS,
    S.RESTARTED: frozenset({S.RUNNING, S.QUEUED, S.PAUSED, S.KILLING, S.RETRIED}) | _ENDS,
    S.RETRYING: frozenset({S.RUNNING, S.KILLING, S.PAUSED, S.RETRIED}) | _ENDS,
    S.BREAKPOINT: frozenset({S.RUNNING, S.KILLING, S.RETRIED}) | _ENDS,
    S.KILLING: frozenset({S.KILLED, S.FAILED}),
    S.RESUBMITTED: frozenset(),
    S.SUCCESS: _REOPENED,
    S.WARNING: _REOPENED,
    S.FAILED: _REOPENED | {S.RETRIED},
    S.KILLED: _REOPENED,
    S.CANCELLED: _REOPENED,
    S.RETRIED: _REOPENED,
    S.SKIPPED: _REOPENED,
}

_TASK_ENDS = _ENDS | {S.SKIPPED}

TASK_RUN_TRANSITIONS: dict[State, frozenset[State]] = {
    S.CREATED: frozenset({S.SUBMITTED, S.RUNNING, S.PAUSED, S.BREAKPOINT, S.RETRYING, S.RESTARTED}) | _TASK_ENDS,
    S.QUEUED: frozenset(),
    S.SUBMITTED: frozenset({S.RUNNING, S.RETRYING, S.RESUBMITTED, S.KILLING, S.RESTARTED}) | _TASK_ENDS,
    S.RUNNING: frozenset({S.PAUSED, S.RETRYING, S.RESUBMITTED, S.KILLING, S.SUBMITTED, S.RESTARTED}) | _TASK_ENDS,
    S.PAUSED: frozenset({S.RUNNING, S.RESTARTED, S.KILLING}) | _TASK_ENDS,
    S.RESTARTED: frozenset({S.SUBMITTED, S.RUNNING, S.PAUSED, S.RETRYING, S.KILLING}) | _TASK_ENDS,
    S.RETRYING: frozenset({S.SUBMITTED, S.RUNNING, S.KILLING, S.RESTARTED}) | _TASK_ENDS,
    S.BREAKPOINT: frozenset({S.RUNNING, S.SUBMITTED}) | _TASK_ENDS,
    # A task may end by itself in the very moment it is killed: then that is its end.
    S.KILLING: frozenset({S.KILLED, S.FAILED, S.SUCCESS, S.WARNING, S.SKIPPED}),
    S.RESUBMITTED: frozenset({S.SUBMITTED, S.RUNNING, S.KILLING}) | _TASK_ENDS,
    S.SUCCESS: frozenset({S.RESTARTED, S.RUNNING}) | _TASK_ENDS,
    S.WARNING: frozenset({S.RESTARTED, S.RUNNING}) | _TASK_ENDS,
    S.FAILED: frozenset({S.RESTARTED, S.RETRYING, S.RUNNING}) | _TASK_ENDS,
    S.KILLED: frozenset({S.RESTARTED, S.RUNNING}) | _TASK_ENDS,
    S.CANCELLED: frozenset({S.RESTARTED, S.RUNNING}) | _TASK_ENDS,
    S.RETRIED: frozenset({S.RESTARTED}) | _TASK_ENDS,
    S.SKIPPED: frozenset({S.RESTARTED, S.RUNNING}) | _TASK_ENDS,
}

assert EXECUTION_TRANSITIONS.keys() == set(State), "every state needs its execution transitions"
assert TASK_RUN_TRANSITIONS.keys() == set(State), "every state needs its task run transitions"
assert set(SEVERITY) | {S.RETRIED} == TERMINAL, "every terminal state needs a severity"


def worse(one: State | None, other: State) -> State:
    """Return the more severe of two terminal states; SKIPPED counts as SUCCESS."""
    if other is S.SKIPPED:
        other = S.SUCCESS
    if one is None or SEVERITY[other] > SEVERITY[one]:
        return other
    return one
