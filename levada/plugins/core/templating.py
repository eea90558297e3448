"""`core.templating.TemplatedTask`: a task whose whole definition is rendered first."""

from levada.sdk import Task


class TemplatedTask(Task):
    """Renders `spec`, reads it as a task and runs that."""

    TYPE = "core.templating.TemplatedTask"
    ALIASES = ("io.kestra.core.tasks.templating.TemplatedTask",)

    spec: str


TASKS = [TemplatedTask]
