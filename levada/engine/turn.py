"""One turn of the engine: an execution, a moment, and the events and effects that this command brings.

A `Turn` lives for one `decide`. `emit` folds each event at once, so that everything decided later in the same turn sees
it. Nothing here or below does I/O, reads a clock or draws a random number.
"""

from collections import deque
from typing import Any

from levada import expr
from levada.engine import context
from levada.engine.environment import Environment
from levada.engine.evolve import evolve
from levada.engine.plan import Node, Plan
from levada.model.commands import ContinueExecution
from levada.model.effects import ArmTimer, Effect, SendCommand, TimerKind, WriteLogs
from levada.model.errors import UserError
from levada.model.events import Event
from levada.model.execution import Execution, TaskRun
from levada.model.jobs import LogEntry

#: Longer messages become several entries.
LOG_PART_CHARS = 10 * 1024
MASK = "******"


class Refused(UserError):
    """The command does not fit the state of the execution; nothing happened. `status` is the HTTP answer."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.status = status


class Turn:
    __slots__ = (
        "_opened",
        "_pending",
        "_shared",
        "agenda",
        "deferred",
        "effects",
        "env",
        "events",
        "execution",
        "host",
        "logs",
        "now",
        "plan",
        "started",
        "stop_all",
    )

    def __init__(self, execution: Execution, plan: Plan, now: int, env: Environment) -> None:
        self.execution = execution
        self.plan = plan
        self.now = now
        self.env = env
        self.events: list[Event] = []
        self.effects: list[Effect] = []
        self.logs: list[LogEntry] = []
        #: Containers to look at: (task run id or None for the execution, id of the child that ended or None).
        self.agenda: deque[tuple[str | None, str | None]] = deque()
        self._pending: dict[str | None, int] = {}
        self.deferred: list[str] = []
        #: A task asked for everything that runs to be stopped (Exit KILLED).
        self.stop_all = False
        self.started = 0
        self.host = context.PureHost(now, f"{execution.id}/{execution.seq}")
        self._shared: dict[str, Any] | None = None
        #: SECRET inputs that were opened for rendering: never to be seen in a log line.
        self._opened: list[str] = []

    # -- what happens ----------------------------------------------------------------------------------------------
    def emit(self, event: Event) -> None:
        evolve(self.execution, event)
        self.events.append(event)

    def effect(self, effect: Effect) -> None:
        self.effects.append(effect)

    def send(self, command: Any) -> None:
        self.effects.append(SendCommand(command=command))

    def arm(self, kind: TimerKind, due: int, task_run_id: str | None = None) -> None:
        """Arm a timer under the number of the last event."""
        self.effects.append(ArmTimer(kind=kind, due=due, seq=self.execution.seq, task_run_id=task_run_id))

    def log(self, level: str, message: str, run: TaskRun | None = None) -> None:
        x = self.execution
        text = message.replace("\x00", "\ufffd")
        for secret in self._opened:
            text = text.replace(secret, MASK)
        for part in range(0, max(len(text), 1), LOG_PART_CHARS):
            self.logs.append(self._entry(level, text[part : part + LOG_PART_CHARS], x, run))

    def _entry(self, level: str, text: str, x: Execution, run: TaskRun | None) -> LogEntry:
        return LogEntry(
            execution_id=x.id,
            tenant=x.tenant,
            namespace=x.namespace,
            flow_id=x.flow_id,
            level=level,
            message=text,
            at=self.now,
            seq=len(self.logs),
            task_id=run.task_id if run else None,
            task_run_id=run.id if run else None,
            attempt=max(run.attempt - 1, 0) if run else None,
        )

    def visit(self, container: str | None, ended: str | None = None) -> None:
        """Put a container on the agenda; `ended` is its child whose end is the reason."""
        self.agenda.append((container, ended))
        self._pending[container] = self._pending.get(container, 0) + 1

    def next_visit(self) -> tuple[str | None, str | None]:
        container, ended = self.agenda.popleft()
        self._pending[container] -= 1
        return container, ended

    def settled(self, container: str | None) -> bool:
        """True when nothing more is to be looked at in this container during this turn."""
        return not self._pending.get(container) and (container is None or container not in self.deferred)

    def defer(self, container: str) -> None:
        """The turn has started enough: this loop goes on in the next one."""
        if container not in self.deferred:
            self.deferred.append(container)

    def finish(self) -> None:
        """Close the turn: log lines become one effect, deferred loops a command to this execution."""
        if self.deferred:
            self.send(ContinueExecution(execution_id=self.execution.id, containers=self.deferred))
        if self.logs:
            self.effects.append(WriteLogs(entries=self.logs))

    # -- what is known ---------------------------------------------------------------------------------------------
    def forget_variables(self) -> None:
        """Something that `base` holds changed (labels, variables, state): make it again when next asked."""
        self._shared = None

    def variables(self, run: TaskRun | None = None, node: Node | None = None) -> dict[str, Any]:
        if self._shared is None:
            self._shared = context.base(self.execution, self.plan, self.env)
            self._opened = context.opened_texts(self.execution.inputs, self._shared["inputs"])
        if run is None:
            return dict(self._shared)
        return context.of_run(self._shared, self.execution, self.plan, run, node or self.plan.nodes[run.task_id])

    def render(self, value: Any, run: TaskRun | None = None, node: Node | None = None, **extra: Any) -> Any:
        """Render a value for the executor's own use. Raises ExpressionError."""
        if not _has_markup(value):
            return value
        variables = self.variables(run, node)
        self.add_states(variables, expr.references(value))
        variables.update(extra)
        return expr.render(value, variables, self.host)

    def add_states(self, variables: dict[str, Any], reads: expr.References) -> None:
        """`tasks` walks all task runs: made only for templates that read it."""
        if reads.whole or any(path[0] == "tasks" for path in reads.paths):
            variables["tasks"] = context.task_states(self.execution)


def _has_markup(value: Any) -> bool:
    if isinstance(value, str):
        return "{" in value
    if isinstance(value, dict):
        return any(_has_markup(key) or _has_markup(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return any(map(_has_markup, value))
    return False
