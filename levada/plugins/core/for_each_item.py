"""The two parts of ForEachItem that a worker runs: cutting the file into batches, and gathering what the subflows gave.

Nobody writes these types in a flow: the engine makes them from a ForEachItem, with the part between them that starts one
subflow per batch.
"""

import json
from typing import Any

import msgspec

from levada.plugins.core.storage.lines import byte_size, split
from levada.sdk import RunContext, Task, TaskFailed


class Batch(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    rows: int | None = None
    bytes: str | int | None = None
    partitions: int | None = None
    regex_pattern: str | None = None
    separator: str = "\n"


class ForEachItemSplit(Task):
    """Cuts `items` into batches; `splits` is a file that lists their URIs, one a line."""

    TYPE = "core.flow.ForEachItem$ForEachItemSplit"

    items: str
    batch: Batch = msgspec.field(default_factory=Batch)

    async def run(self, ctx: RunContext) -> dict[str, Any]:
        batch = self.batch
        ruled = (batch.bytes, batch.partitions, batch.regex_pattern)
        uris = await split(
            ctx,
            self.items,
            max_rows=batch.rows if batch.rows is not None or any(rule is not None for rule in ruled) else 1,
            max_bytes=byte_size("bytes", batch.bytes) if batch.bytes is not None else None,
            partitions=batch.partitions,
            pattern=batch.regex_pattern,
            separator=batch.separator,
        )
        listing = await ctx.storage.put("".join(f"{uri}\n" for uri in uris), "splits.txt")
        ctx.log("DEBUG", f"cut into {len(uris)} batches")
        return {"splits": listing, "uris": uris}


class ForEachItemMergeOutputs(Task):
    """Writes the outputs of all subflows to one file, a JSON line each, in the order of the batches."""

    TYPE = "core.flow.ForEachItem$ForEachItemMergeOutputs"

    outputs: Any = None

    async def run(self, ctx: RunContext) -> dict[str, Any]:
        try:
            children = json.loads(self.outputs) if isinstance(self.outputs, str) else self.outputs or []
        except ValueError as error:
            raise TaskFailed(f"the outputs of the subflows can not be read: {error}") from error
        children.sort(key=lambda child: child["iteration"])
        lines = "".join(json.dumps(child["outputs"], ensure_ascii=False) + "\n" for child in children)
        return {"subflowOutputs": await ctx.storage.put(lines, "subflow-outputs.jsonl")}


TASKS = [ForEachItemSplit, ForEachItemMergeOutputs]
