"""`core.log.*`: writing, fetching and purging log lines."""

from collections.abc import AsyncIterator
from typing import Any, Final

from levada.plugins.core.vocabulary import Level, moment_us
from levada.sdk import InlineTask, Outputs, RunContext, Task, TaskFailed, rows

#: How many lines are asked for at a time.
PAGE: Final = 1000


class Log(InlineTask):
    """Logs one or several messages; evaluated by the executor."""

    TYPE = "core.log.Log"
    ALIASES = ("io.kestra.core.tasks.log.Log",)

    message: str | list[str]
    level: Level = "INFO"

    async def run(self, ctx: RunContext) -> None:
        """Serves inside a WorkingDirectory."""
        for message in self.message if isinstance(self.message, list) else [self.message]:
            ctx.log(self.level, message)


class FetchOutputs(Outputs):
    uri: str
    size: int


class Fetch(Task):
    """Puts the log lines of an execution (by default of this one) into a file, one JSON object per line."""

    TYPE = "core.log.Fetch"
    ALIASES = ("io.kestra.core.tasks.log.Fetch",)
    DEPRECATED = True

    execution_id: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    tasks_id: list[str] | None = None
    level: Level = "INFO"

    async def run(self, ctx: RunContext) -> FetchOutputs:
        """Only an execution can be named: `namespace` and `flowId` must be its own if they are given."""
        if (self.namespace or self.flow_id) and not self.execution_id:
            raise TaskFailed("`namespace` and `flowId` need `executionId`: logs are fetched of one execution")
        counted = {"size": 0}
        uri = await ctx.storage.put(rows.pieces(self._lines(ctx, counted)), f"logs{rows.EXTENSION}")
        return FetchOutputs(uri=uri, size=counted["size"])

    async def _lines(self, ctx: RunContext, counted: dict[str, int]) -> AsyncIterator[Any]:
        after = None
        while True:
            arguments = {
                "executionId": self.execution_id or ctx.execution_id,
                "taskIds": self.tasks_id,
                "minLevel": self.level,
                "after": after,
                "limit": PAGE,
            }
            answer = await ctx.control.call("logs.fetch", arguments)
            for entry in answer["entries"]:
                counted["size"] += 1
                yield entry
            after = answer.get("next")
            if after is None:
                return


class PurgeOutputs(Outputs):
    count: int


class PurgeLogs(Task):
    """Deletes log lines."""

    TYPE = "core.log.PurgeLogs"

    end_date: str
    start_date: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    execution_id: str | None = None
    log_levels: list[Level] | None = None

    async def run(self, ctx: RunContext) -> PurgeOutputs:
        """Raises UserError when a date is none."""
        arguments = {
            "namespace": self.namespace,
            "flowId": self.flow_id,
            "executionId": self.execution_id,
            "logLevels": self.log_levels,
            "startUs": moment_us("startDate", self.start_date),
            "endUs": moment_us("endDate", self.end_date),
        }
        answer = await ctx.control.call("logs.purge", arguments)
        ctx.log("INFO", f"purged {answer['count']} log lines")
        return PurgeOutputs(count=answer["count"])


TASKS = [Log, Fetch, PurgeLogs]
