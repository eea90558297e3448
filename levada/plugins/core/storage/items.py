"""Tasks on rows: FilterItems and DeduplicateItems.

Each row is a map whose keys are variables of the condition or key, above those of the execution. Expressions that read
only data are compiled once; one that needs a service (`secret`, `kv` …) goes through the context, row by row.
"""

from collections import ChainMap
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import Any, Literal

from levada import expr
from levada.model.errors import UserError
from levada.sdk import Outputs, RunContext, Task, TaskFailed, rows

RenderRow = Callable[[dict[str, Any]], Awaitable[str]]


class DeduplicateOutputs(Outputs):
    uri: str
    num_keys: int
    processed_items_total: int
    dropped_items_total: int


class DeduplicateItems(Task):
    """Keeps the last row of each key, in its place. Memory grows with the number of keys, 16 bytes and an index each."""

    TYPE = "core.storage.DeduplicateItems"
    ALIASES = ("io.kestra.core.tasks.storages.DeduplicateItems",)
    RAW = frozenset({"expr"})

    from_: str
    expr: str

    async def run(self, ctx: RunContext) -> DeduplicateOutputs:
        """Raises TaskFailed naming the row whose key cannot be rendered."""
        last: dict[bytes, int] = {}
        total = 0
        render = row_renderer(ctx, self.expr)
        async for row in rows.read(ctx.storage.get(self.from_), self.from_):
            total += 1
            try:
                key = (await render(variables_of(row))).strip()
            except UserError as error:
                raise TaskFailed(f"row {total} of {self.from_}: property `expr` cannot be rendered: {error}") from error
            last[blake2b(key.encode(), digest_size=16).digest()] = total
        kept = set(last.values())
        uri = await ctx.storage.put(rows.pieces(self._chosen(ctx, kept)), _named("deduplicated", self.from_))
        return DeduplicateOutputs(
            uri=uri, num_keys=len(kept), processed_items_total=total, dropped_items_total=total - len(kept)
        )

    async def _chosen(self, ctx: RunContext, kept: set[int]) -> AsyncIterator[Any]:
        number = 0
        async for row in rows.read(ctx.storage.get(self.from_), self.from_):
            number += 1
            if number in kept:
                yield row


class FilterOutputs(Outputs):
    uri: str
    processed_items_total: int
    dropped_items_total: int


class FilterItems(Task):
    """Keeps or drops the rows for which a condition holds."""

    TYPE = "core.storage.FilterItems"
    ALIASES = ("io.kestra.core.tasks.storages.FilterItems",)
    RAW = frozenset({"filterCondition"})

    from_: str
    filter_condition: str
    filter_type: Literal["INCLUDE", "EXCLUDE"] = "INCLUDE"
    error_or_null_behavior: Literal["FAIL", "INCLUDE", "EXCLUDE"] = "FAIL"

    async def run(self, ctx: RunContext) -> FilterOutputs:
        """Raises TaskFailed naming the row for which the condition is neither true nor false."""
        counts = {"all": 0, "kept": 0}
        uri = await ctx.storage.put(rows.pieces(self._kept(ctx, counts)), _named("filtered", self.from_))
        dropped = counts["all"] - counts["kept"]
        return FilterOutputs(uri=uri, processed_items_total=counts["all"], dropped_items_total=dropped)

    async def _kept(self, ctx: RunContext, counts: dict[str, int]) -> AsyncIterator[Any]:
        render = row_renderer(ctx, self.filter_condition)
        async for row in rows.read(ctx.storage.get(self.from_), self.from_):
            counts["all"] += 1
            if await self._keeps(render, row, counts["all"]):
                counts["kept"] += 1
                yield row

    async def _keeps(self, render: RenderRow, row: Any, number: int) -> bool:
        try:
            holds = _boolean(await render(variables_of(row)))
        except UserError as error:
            if self.error_or_null_behavior == "FAIL":
                raise TaskFailed(f"row {number} of {self.from_}: property `filterCondition`: {error}") from error
            return self.error_or_null_behavior == "INCLUDE"
        return holds if self.filter_type == "INCLUDE" else not holds


def row_renderer(ctx: RunContext, template: str) -> RenderRow:
    """Return what renders `template` for a row. Raises ExpressionError when it cannot be read."""
    compiled = expr.compile(template)
    if expr.needs_io(template):

        async def through_context(row: dict[str, Any]) -> str:
            return str(await ctx.render(template, row))

        return through_context

    async def directly(row: dict[str, Any]) -> str:
        return compiled.render(ChainMap(row, dict(ctx.variables)))

    return directly


def variables_of(row: Any) -> dict[str, Any]:
    """Return a row as variables. Raises UserError when it is no map."""
    if not isinstance(row, dict):
        raise UserError(f"the row is no map but {row!r:.80}; expressions read its keys")
    return row


def _boolean(text: str) -> bool:
    match text.strip().lower():
        case "true":
            return True
        case "false":
            return False
        case "" | "null":
            raise UserError("the condition gives nothing for this row; it must give true or false")
    raise UserError(f"the condition must give true or false, but gives {text.strip()!r:.80}")


def _named(name: str, uri: str) -> str:
    return f"{name}{PurePosixPath(uri).suffix or rows.EXTENSION}"


TASKS = [DeduplicateItems, FilterItems]
