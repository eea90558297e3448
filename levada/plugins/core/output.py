"""`core.output.*`: values made available to later tasks, evaluated by the executor."""

from typing import Any

from levada.sdk import InlineTask


class OutputValues(InlineTask):
    """Outputs a map of rendered values."""

    TYPE = "core.output.OutputValues"

    values: dict[str, Any] | None = None


TASKS = [OutputValues]
