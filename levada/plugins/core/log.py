"""`core.log.*`: writing, fetching and purging log lines."""

from levada.plugins.core.vocabulary import Level
from levada.sdk import InlineTask, Task


class Log(InlineTask):
    """Logs one or several messages; evaluated by the executor."""

    TYPE = "core.log.Log"
    ALIASES = ("io.kestra.core.tasks.log.Log",)

    message: str | list[str]
    level: Level = "INFO"


class Fetch(Task):
    """Puts the log lines of an execution into a file, one JSON object per line."""

    TYPE = "core.log.Fetch"
    ALIASES = ("io.kestra.core.tasks.log.Fetch",)
    DEPRECATED = True

    execution_id: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    tasks_id: list[str] | None = None
    level: Level = "INFO"


class PurgeLogs(Task):
    """Deletes log lines."""

    TYPE = "core.log.PurgeLogs"

    end_date: str
    start_date: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    execution_id: str | None = None
    log_levels: list[Level] | None = None


TASKS = [Log, Fetch, PurgeLogs]
