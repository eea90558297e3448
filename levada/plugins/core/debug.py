"""Tasks that show values, `core.debug.*`: declarations of what the executor evaluates."""

from levada.plugins.core.vocabulary import Level
from levada.sdk import InlineTask


class Return(InlineTask):
    """Returns the rendered `format` as `value`."""

    TYPE = "core.debug.Return"
    ALIASES = ("io.kestra.core.tasks.debugs.Return",)

    format: str | None = None


class Echo(InlineTask):
    """Logs `format`; older form of Log."""

    TYPE = "core.debug.Echo"
    ALIASES = ("io.kestra.core.tasks.debugs.Echo",)
    DEPRECATED = True

    format: str | None = None
    level: Level = "INFO"


TASKS = [Return, Echo]
