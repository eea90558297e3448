"""Rendering the expressions of one attempt, and learning its secrets on the way."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from levada import expr
from levada_worker.functions import ServiceHost


class Renderer:
    """Evaluates at once on the event loop what only computes (budgets bound it), in a thread what may call a service."""

    def __init__(self, variables: Mapping[str, Any], host: ServiceHost, threads: ThreadPoolExecutor) -> None:
        self.variables = variables
        self._host = host
        self._threads = threads

    async def render(self, value: Any, extra: Mapping[str, Any] | None = None) -> Any:
        """Return `value` with every text in it rendered. Raises ExpressionError and what a service raises."""
        return await self._run(expr.render, value, extra)

    async def evaluate(self, value: Any, extra: Mapping[str, Any] | None = None) -> Any:
        """Like `render`; a text that is exactly one expression keeps its type."""
        return await self._run(expr.evaluate, value, extra)

    async def holds(self, condition: Any, extra: Mapping[str, Any] | None = None) -> bool:
        """Judge a condition such as runIf."""
        return expr.truthy(await self.render(condition, extra))

    def with_variables(self, variables: Mapping[str, Any]) -> "Renderer":
        return Renderer(variables, self._host, self._threads)

    async def _run(self, function: Callable[..., Any], value: Any, extra: Mapping[str, Any] | None) -> Any:
        variables = {**self.variables, **extra} if extra else self.variables
        if not expr.needs_io(value):
            return function(value, variables, self._host)
        loop = asyncio.get_running_loop()
        rendered = await loop.run_in_executor(self._threads, function, value, variables, self._host)
        self._host.masker.add(expr.secrets_in(rendered))
        return rendered
