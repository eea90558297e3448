"""The HTTP tasks and their polling trigger."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from levada import expr
from levada.plugins.core.http import client
from levada.plugins.core.http.events import Event, read_events
from levada.plugins.core.http.options import Requesting
from levada.sdk import Outputs, PollingTrigger, RunContext, Task, TaskFailed, rows

REQUEST_DEPRECATED = frozenset({"allowFailed", "sslOptions"})
#: Events are listed in the outputs up to this size of their text; all of them are in the file.
MAX_LISTED_BYTES: Final = 1024 * 1024


class RequestOutputs(Outputs):
    uri: str
    code: int
    headers: dict[str, list[str]]
    body: str | None = None
    encrypted_body: Any = None
    form_data: dict[str, Any] | None = None


class Request(Requesting, Task):
    """Makes a request and returns the response's body."""

    TYPE = "core.http.Request"
    ALIASES = ("io.kestra.plugin.fs.http.Request",)
    DEPRECATED_PROPERTIES = REQUEST_DEPRECATED

    encrypt_body: bool = False
    allow_failed: bool | None = None

    async def run(self, ctx: RunContext) -> RequestOutputs:
        """Raises TaskFailed for errors of the connection and statuses from 400 on that are not allowed."""
        async with client.exchange(ctx, self, allow_failed=bool(self.allow_failed)) as response:
            text = await response.text()
            return await _outputs(ctx, self, response, text, encrypt=self.encrypt_body)


async def _outputs(
    ctx: RunContext, task: Requesting, response: client.Response, text: str, *, encrypt: bool
) -> RequestOutputs:
    if "RESPONSE_BODY" in (task.options.logs or ()) and not encrypt:
        ctx.log("INFO", f"response body: {text}")
    encrypted = await ctx.control.call("text.encrypt", {"text": text}) if encrypt else None
    return RequestOutputs(
        uri=response.url,
        code=response.code,
        headers=response.headers,
        body=None if encrypt else text,
        encrypted_body=encrypted,
        form_data=task.form_data,
    )


class DownloadOutputs(Outputs):
    uri: str
    code: int
    length: int
    headers: dict[str, list[str]]


class Download(Requesting, Task):
    """Makes a request and stores the response's body as a file."""

    TYPE = "core.http.Download"
    ALIASES = ("io.kestra.plugin.fs.http.Download",)
    DEPRECATED_PROPERTIES = REQUEST_DEPRECATED

    fail_on_empty_response: bool = True
    save_as: str | None = None
    allow_failed: bool | None = None

    async def run(self, ctx: RunContext) -> DownloadOutputs:
        """Raises TaskFailed like Request, and when the body is empty unless that is allowed."""
        length = 0

        async def counted(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            nonlocal length
            async for chunk in chunks:
                length += len(chunk)
                yield chunk

        async with client.exchange(ctx, self, allow_failed=bool(self.allow_failed)) as response:
            name = self.save_as or response.file_name or _last_segment(response.url)
            uri = await ctx.storage.put(counted(response.chunks()), _file_name(name))
            if length == 0 and self.fail_on_empty_response:
                await ctx.storage.delete(uri)
                raise TaskFailed("No response from server: the body is empty and `failOnEmptyResponse` is true")
            ctx.counter("response.length", length)
            ctx.log("INFO", f"downloaded {length:,} bytes as {_file_name(name)}")
            return DownloadOutputs(uri=uri, code=response.code, length=length, headers=response.headers)


def _last_segment(url: str) -> str:
    return unquote(PurePosixPath(urlsplit(url).path).name)


def _file_name(name: str) -> str:
    """Return a name without folders, whatever a server suggests."""
    plain = name.replace("\\", "/").rpartition("/")[2].strip("\0 ")
    return plain if plain not in ("", ".", "..") else "download"


class SseOutputs(Outputs):
    uri: str
    size: int
    events: list[Event] | None = None
    result: str | None = None


class SseRequest(Requesting, Task):
    """Reads a stream of server-sent events to its end; `concatJqExpression` joins one text out of their data."""

    TYPE = "core.http.SseRequest"
    DEPRECATED_PROPERTIES = REQUEST_DEPRECATED

    concat_jq_expression: str | None = None
    failed_on_missing_jq: bool = True
    allow_failed: bool | None = None

    async def run(self, ctx: RunContext) -> SseOutputs:
        """Raises TaskFailed like Request, and when the jq expression gives nothing for an event."""
        program = _program(self.concat_jq_expression)
        size = listed_bytes = 0
        listed: list[Event] = []
        texts: list[str] = []

        async def stored(found: AsyncIterator[Event]) -> AsyncIterator[Event]:
            nonlocal size, listed_bytes
            async for event in found:
                size += 1
                listed_bytes += len(rows.encode(event))
                if listed_bytes <= MAX_LISTED_BYTES:
                    listed.append(event)
                if program is not None:
                    texts.append(self._picked(program, event, size))
                yield event

        async with client.exchange(ctx, self, allow_failed=bool(self.allow_failed)) as response:
            found = stored(read_events(response.chunks()))
            uri = await ctx.storage.put(rows.pieces(found), f"events{rows.EXTENSION}")
        ctx.counter("size", size)
        if len(listed) < size:
            ctx.log("WARN", f"the output `events` holds the first {len(listed)} of {size} events; all are in `uri`")
        return SseOutputs(uri=uri, size=size, events=listed, result="".join(texts) if program is not None else None)

    def _picked(self, program: Any, event: Event, number: int) -> str:
        try:
            value = program.input_value(event.data).first()
        except (ValueError, StopIteration) as error:
            if self.failed_on_missing_jq:
                raise TaskFailed(f"`concatJqExpression` fails for event {number}: {error}") from error
            return ""
        if value is None:
            if self.failed_on_missing_jq:
                raise TaskFailed(
                    f"`concatJqExpression` gives nothing for event {number}; `failedOnMissingJq: false` passes over it"
                )
            return ""
        return value if isinstance(value, str) else rows.encode(value).decode().strip()


def _program(expression: str | None) -> Any:
    if expression is None:
        return None
    import jq

    try:
        return jq.compile(expression)
    except ValueError as error:
        raise TaskFailed(f"property `concatJqExpression` is no jq expression: {error}") from error


class HttpTrigger(Requesting, PollingTrigger):
    """Starts an execution when the response meets `responseCondition`, which reads `response`."""

    TYPE = "core.http.Trigger"
    ALIASES = ("io.kestra.plugin.fs.http.Trigger",)
    RAW = frozenset({"responseCondition"})
    DEPRECATED_PROPERTIES = frozenset({"sslOptions"})

    interval: timedelta = timedelta(minutes=1)
    encrypt_body: bool = False
    response_condition: str = "{{ response.statusCode < 400 }}"

    async def poll(self, ctx: RunContext) -> RequestOutputs | None:
        """Every status is an answer here; only a connection that fails raises TaskFailed."""
        async with client.exchange(ctx, self, allow_failed=True) as response:
            text = await response.text()
            seen = {"statusCode": response.code, "body": text, "headers": response.headers, "uri": response.url}
            if not expr.truthy(await ctx.render(self.response_condition, {"response": seen})):
                return None
            return await _outputs(ctx, self, response, text, encrypt=self.encrypt_body)


TASKS = [Request, Download, SseRequest, HttpTrigger]
