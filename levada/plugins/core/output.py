"""`core.output.*`: values made available to later tasks, evaluated by the executor (`run`: inside a WorkingDirectory)."""

from typing import Any

from levada.sdk import InlineTask, Outputs, RunContext


class ValuesOutputs(Outputs):
    values: dict[str, Any] | None


class OutputValues(InlineTask):
    """Outputs a map of rendered values."""

    TYPE = "core.output.OutputValues"

    values: dict[str, Any] | None = None

    async def run(self, ctx: RunContext) -> ValuesOutputs:
        """Returns the rendered values as they are."""
        return ValuesOutputs(values=self.values)


TASKS = [OutputValues]
