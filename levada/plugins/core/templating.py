"""`core.templating.TemplatedTask`: a task whose whole definition is rendered first."""

from typing import Any

from levada.expr import ExpressionError, yaml_text
from levada.expr.frame import Frame
from levada.model.errors import UserError
from levada.sdk import FlowableTask, Registry, RunContext, Task, TaskFailed, canonical, properties

#: What a task may carry beside its type's properties; the executor has no say in a templated task, so they are dropped.
COMMON = frozenset({"id", "type", "description"})


class TemplatedTask(Task):
    """Renders `spec`, reads it as a task and runs that. Its outputs and metrics are those of the inner task."""

    TYPE = "core.templating.TemplatedTask"
    ALIASES = ("io.kestra.core.tasks.templating.TemplatedTask",)

    spec: str

    async def run(self, ctx: RunContext) -> Any:
        """Raises TaskFailed when the text is no task that a worker can run."""
        from levada.plugins import discover  # the package is complete only after this module

        inner, given = read(self.spec, discover())
        task = await properties.build(inner, given, ctx.render)
        return await task.run(ctx)


def read(spec: str, registry: Registry) -> tuple[type[Task], dict[str, Any]]:
    """Return the class and the properties of a task as text."""
    try:
        document = yaml_text.load(spec, Frame({}, None))
    except ExpressionError as error:
        raise TaskFailed(f"property `spec` is no YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        raise TaskFailed("property `spec` must be the YAML of one task, with `type` and its properties")
    inner = registry.task(document["type"])
    if inner is None:
        nearest = registry.nearest(document["type"])
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        raise TaskFailed(f"property `spec` has the unknown type {document['type']}{hint}")
    if inner is TemplatedTask:
        raise TaskFailed(f"The templated task cannot be of type '{document['type']}'")
    if issubclass(inner, FlowableTask) or inner.run is Task.run:
        raise TaskFailed("The templated task must be a runnable task")
    unsupported = sorted({"retry", "timeout", "runIf", "allowFailure", "taskCache"} & document.keys())
    if unsupported:
        raise UserError(
            f"`{unsupported[0]}` has no effect inside `spec` of {canonical(TemplatedTask.TYPE)}: set it beside `spec`"
        )
    return inner, {name: value for name, value in document.items() if name not in COMMON}


TASKS = [TemplatedTask]
