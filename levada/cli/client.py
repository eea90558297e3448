"""The REST client of the command line.

It speaks the public API like any other client, so what the command line can do, a script can do. It turns the ways a
call can fail into the command line's errors: nobody answers (`Unreachable`, exit code 3), the server refuses (`Refused`,
with the server's own words), wrong credentials (`Unreachable`, since no command can go on without them).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec

from levada.cli.failures import Unreachable
from levada.model.errors import UserError

CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 60.0


class Server(msgspec.Struct, frozen=True):
    """Where a Levada answers and how to sign in there."""

    url: str
    username: str | None = None
    password: str | None = None
    tenant: str = "main"


class Refused(UserError):
    """The server refused the request. `problems` are its single complaints, where it listed any."""

    def __init__(self, status: int, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status, self.problems = status, list(problems)


class Client:
    """One server, one connection pool. Use it as `async with`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        auth = None
        if server.username is not None and server.password is not None:
            auth = aiohttp.encode_basic_auth(server.username, server.password)
        self._session = aiohttp.ClientSession(
            headers={"Authorization": auth} if auth else {},
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._session.close()

    async def health(self) -> dict[str, Any] | None:
        """Return what the server says of its health, up or not; None when no Levada answers. Needs no sign-in."""
        try:
            async with self._session.get(f"{self.server.url}/health", timeout=aiohttp.ClientTimeout(3)) as response:
                content = json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        return content if isinstance(content, dict) and content.get("name") == "levada" else None

    async def alive(self) -> bool:
        """Whether a Levada answers here, well or not."""
        return await self.health() is not None

    async def get(self, path: str, **query: Any) -> Any:
        return await self._call("GET", path, query)

    async def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return await self._call("POST", path, query, body)

    async def put(self, path: str, body: Any = None, **query: Any) -> Any:
        return await self._call("PUT", path, query, body)

    async def delete(self, path: str, **query: Any) -> Any:
        return await self._call("DELETE", path, query)

    async def follow(self, path: str, **query: Any) -> AsyncIterator[dict[str, Any]]:
        """Yield the data of server-sent events until the server closes the stream."""
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S)
        try:
            async with self._session.get(self._url(path), params=_pairs(query), timeout=timeout) as response:
                await self._check(response)
                async for data in _events(response):
                    if isinstance(data, dict) and data:
                        yield data
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error

    # --- flows and executions

    async def deploy(self, namespace: str, flow_id: str, source: bytes) -> dict[str, Any]:
        """Create the flow or update it; an unchanged source keeps its revision."""
        yaml = aiohttp.BytesPayload(source, content_type="application/x-yaml")
        try:
            return dict(await self.put(f"flows/{segment(namespace)}/{segment(flow_id)}", yaml))
        except Refused as refused:
            if refused.status != 404:
                raise
        return dict(await self.post("flows", aiohttp.BytesPayload(source, content_type="application/x-yaml")))

    async def start(
        self, namespace: str, flow_id: str, inputs: Mapping[str, str | Path], labels: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Start an execution; a `Path` among the inputs is uploaded. Returns the execution as created."""
        form = inputs_form(inputs)
        return dict(await self.post(f"executions/{segment(namespace)}/{segment(flow_id)}", form, labels=list(labels)))

    # --- one call

    def _url(self, path: str) -> str:
        return f"{self.server.url}/api/v1/{segment(self.server.tenant)}/{path}"

    async def _call(self, method: str, path: str, query: Mapping[str, Any], body: Any = None) -> Any:
        # A form is for inputs, a payload knows its own type, everything else is JSON.
        kind: dict[str, Any] = {"data" if isinstance(body, aiohttp.FormData | aiohttp.Payload) else "json": body}
        try:
            async with self._session.request(method, self._url(path), params=_pairs(query), **kind) as response:
                await self._check(response)
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error
        if not content:
            return None
        return json.loads(content) if "json" in response.content_type else content

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status < 400:
            return
        if response.status == 401:
            raise Unreachable(
                f"{self.server.url} wants credentials: give --user and --password, "
                "or set LEVADA_BASIC_AUTH_USERNAME and LEVADA_BASIC_AUTH_PASSWORD"
            )
        raise refusal(response.status, await response.text(errors="replace"))

    def _unreachable(self, error: Exception) -> Unreachable:
        why = str(error) or type(error).__name__
        return Unreachable(
            f"cannot reach Levada at {self.server.url}: {why}. "
            "Start one with `levada dev`, or name another with --server or LEVADA_URL"
        )


def segment(text: str) -> str:
    """Return `text` as one segment of a path."""
    return quote(text, safe="")


def inputs_form(inputs: Mapping[str, str | Path]) -> aiohttp.FormData | None:
    """Return inputs as a multipart form, or None without inputs."""
    if not inputs:
        return None
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in inputs.items():
        if isinstance(value, Path):
            form.add_field(name, value.read_bytes(), filename=value.name, content_type="application/octet-stream")
        else:
            form.add_field(name, value)
    return form


def refusal(status: int, text: str) -> Refused:
    """Return the server's error body as an error: its message, and its list of problems."""
    try:
        body = json.loads(text)
    except ValueError:
        return Refused(status, f"the server answered {status}: {text.strip()[:500] or 'nothing'}")
    embedded = body.get("_embedded") or {}
    problems = [
        ": ".join(part for part in (entry.get("path"), entry.get("message")) if part)
        for entry in embedded.get("errors", [])
    ]
    return Refused(status, str(body.get("message") or body.get("detail") or f"the server answered {status}"), problems)


def _pairs(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return query parameters: None left out, lists repeated, booleans in lower case."""
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                pairs.append((name, str(one).lower() if isinstance(one, bool) else str(one)))
    return pairs


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    """Yield the JSON of each event. A frame ends with an empty line; lines may come in any cut."""
    buffer, data = b"", []
    async for chunk in response.content.iter_any():
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].lstrip(b" "))
            elif not line and data:
                yield json.loads(b"\n".join(data))
                data = []
