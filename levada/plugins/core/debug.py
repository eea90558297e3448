"""Tasks that show values, `core.debug.*`: the executor evaluates them; `run` serves inside a WorkingDirectory."""

from levada.plugins.core.vocabulary import Level
from levada.sdk import InlineTask, Outputs, RunContext


class ReturnOutputs(Outputs):
    value: str | None = None


class Return(InlineTask):
    """Returns the rendered `format` as `value`."""

    TYPE = "core.debug.Return"
    ALIASES = ("io.kestra.core.tasks.debugs.Return",)

    format: str | None = None

    async def run(self, ctx: RunContext) -> ReturnOutputs:
        """Logs the value at DEBUG as well."""
        ctx.log("DEBUG", self.format or "")
        ctx.counter("length", len(self.format or ""))
        ctx.timer("duration", 0)
        return ReturnOutputs(value=self.format)


class Echo(InlineTask):
    """Logs `format`; older form of Log."""

    TYPE = "core.debug.Echo"
    ALIASES = ("io.kestra.core.tasks.debugs.Echo",)
    DEPRECATED = True

    format: str | None = None
    level: Level = "INFO"

    async def run(self, ctx: RunContext) -> None:
        """Writes one log line."""
        ctx.log(self.level, self.format or "")


TASKS = [Return, Echo]
