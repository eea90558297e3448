"""Removing executions with what belongs to them: rows, log lines, metrics, files."""

from collections.abc import Sequence

import msgspec

from levada.files import paths
from levada.model.execution import ExecutionHead
from levada_api.call import Call
from levada_api.context import Api


class Parts(msgspec.Struct, frozen=True):
    """What goes with the execution."""

    logs: bool = True
    metrics: bool = True
    files: bool = True


def parts_of(call: Call) -> Parts:
    return Parts(call.flag("deleteLogs", True), call.flag("deleteMetrics", True), call.flag("deleteStorage", True))


async def remove(api: Api, heads: Sequence[ExecutionHead], parts: Parts) -> None:
    """Files first: when that fails, the execution is still there to be removed again."""
    if parts.files:
        for head in heads:
            await api.platform.files.delete(
                paths.execution_folder(head.namespace, head.flow_id, head.id), recursive=True
            )
    await api.platform.queries.purge([head.id for head in heads], logs=parts.logs, metrics=parts.metrics)
