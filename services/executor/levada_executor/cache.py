"""Executions kept in memory between batches, so that a busy one is not loaded again for every command.

Only what was committed may stay: whoever changed an execution and did not commit must `forget` it. Ended executions are
dropped at once; their late commands are rare.
"""

from collections import OrderedDict
from collections.abc import Iterable

from levada.model.execution import Execution


class ExecutionCache:
    """Bounded by executions and by the task runs they hold; the longest unused goes first."""

    def __init__(self, max_executions: int = 10_000, max_task_runs: int = 200_000) -> None:
        self._kept: OrderedDict[str, Execution] = OrderedDict()
        self._max_executions = max_executions
        self._max_task_runs = max_task_runs
        self._task_runs = 0
        self._counted: dict[str, int] = {}

    def get(self, id_: str) -> Execution | None:
        found = self._kept.get(id_)
        if found is not None:
            self._kept.move_to_end(id_)
        return found

    def keep(self, execution: Execution) -> None:
        """Remember a committed execution, unless nothing more is to happen to it."""
        self.forget([execution.id])
        if is_over(execution):
            return
        self._kept[execution.id] = execution
        self._counted[execution.id] = len(execution.task_runs)
        self._task_runs += len(execution.task_runs)
        while len(self._kept) > self._max_executions or (self._task_runs > self._max_task_runs and len(self._kept) > 1):
            self.forget([next(iter(self._kept))])

    def forget(self, ids: Iterable[str]) -> None:
        for id_ in ids:
            if self._kept.pop(id_, None) is not None:
                self._task_runs -= self._counted.pop(id_)

    def clear(self) -> None:
        self._kept.clear()
        self._counted.clear()
        self._task_runs = 0


def is_over(execution: Execution) -> bool:
    """True when the execution is terminal and none of its task runs (after stage) is still going."""
    return execution.state.is_terminal and execution.progress.running == 0
