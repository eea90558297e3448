"""A collector of traces for tests: speaks OTLP over HTTP, keeps the spans."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Span:
    """`parent` is empty for the first span of a trace; `links` are span ids."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start_us: int
    end_us: int
    attributes: Mapping[str, Any]
    links: tuple[str, ...]
    error: str | None


@dataclass(slots=True)
class Collector:
    url: str = ""
    spans: list[Span] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    status: int = 200

    async def until(self, *names: str, timeout_s: float = 10.0) -> list[Span]:
        """Wait until spans of these names came; return all."""
        async with asyncio.timeout(timeout_s):
            while not set(names) <= {span.name for span in self.spans}:  # noqa: ASYNC110  (they come from another process)
                await asyncio.sleep(0.02)
        return self.spans

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.headers.append(dict(request.headers))
        if self.status == 200:
            self.spans += read(body)
        return web.Response(status=self.status)


def read(body: bytes) -> Iterable[Span]:
    message = ExportTraceServiceRequest.FromString(body)
    for resource in message.resource_spans:
        service = str(_attributes(resource.resource.attributes)["service.name"])
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    service=service,
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    start_us=span.start_time_unix_nano // 1000,
                    end_us=span.end_time_unix_nano // 1000,
                    attributes=_attributes(span.attributes),
                    links=tuple(link.span_id.hex() for link in span.links),
                    error=span.status.message if span.status.code == 2 else None,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    runner = web.ServerRunner(web.Server(collector.take), handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()
