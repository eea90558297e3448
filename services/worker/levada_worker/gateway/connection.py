"""Requests to the gateways: one session, several addresses, errors of the right family.

All gateways are equal. A worker stays with one as long as it answers and goes on to the next when it does not; one that
failed is left alone for a while, longer each time. What a request meant decides whether it may be sent a second time: a
question always, something that changes the world only when it never left.

Whether there is any gateway at all is `trouble`: None, or what to tell people. It is logged when it begins and ends.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from levada.model.errors import Defect, Transient
from levada.model.jobs import Held
from levada.runtime import metrics, telemetry, wire
from levada.runtime.clock import Clock

log = logging.getLogger("levada.worker.gateway")

CONNECT_S = 3.0
ANSWER_S = 30.0
#: How long a request on behalf of a task goes on trying: a restart of all gateways is not the task's failure.
PATIENCE_S = 30.0
PIECE_BYTES = 256 * 1024
#: How long an idle connection is kept; the gateway keeps it longer, so that it is never closed under a request.
KEEPALIVE_S = 20.0
RETRY_S = (0.1, 0.3, 1.0, 2.0)
AVOIDED_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_BROKEN = (aiohttp.ClientError, TimeoutError, OSError)
#: Answers of proxies and of gateways that are stopping: another one may do better.
_ELSEWHERE = frozenset({502, 504})


class NotSent(Transient):
    """No gateway could be reached, so nothing has happened."""


@dataclass(frozen=True, slots=True)
class Request:
    """`data` makes the body, once for every try; `held` is the claim it is made under.

    `answer_s` bounds one try (None: only the silence of a stream). `again`: it may be repeated although it may have been
    heard. `patience_s`: how long to go on trying while no gateway answers.
    """

    method: str
    path: str
    params: Mapping[str, str] | None = None
    data: Callable[[], Any] | None = None
    held: Held | None = None
    answer_s: float | None = ANSWER_S
    again: bool = True
    patience_s: float = 0.0


@dataclass(slots=True)
class _Address:
    url: str
    failures: int = 0
    avoid_until: float = 0.0


class Gateways:
    """Use inside its event loop; `close` ends it."""

    def __init__(self, urls: Sequence[str], token: str | None, clock: Clock, *, worker: str) -> None:
        """Workers begin at different addresses, by their names."""
        first = zlib.crc32(worker.encode()) % len(urls)
        self._addresses = [_Address(url.rstrip("/")) for url in (*urls[first:], *urls[:first])]
        self._clock = clock
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            auto_decompress=False,
        )
        self.trouble: str | None = "no gateway has answered yet"
        self._told = False

    async def close(self) -> None:
        await self._session.close()

    async def check(self) -> Mapping[str, Any]:
        """Health check: a gateway answers and accepts this worker."""
        if self.trouble is not None:
            raise Transient(self.trouble)
        return {"url": self._addresses[0].url}

    async def ask(self, path: str, body: object, shape: Any, **options: Any) -> Any:
        """POST a question and return its answer, in this shape. `options` and errors are those of `request`."""
        async with self.request("POST", path, data=lambda: sendable(wire.encode(body)), **options) as response:
            data = await response.read()
        if not data:
            return None
        try:
            return msgspec.json.decode(data, type=shape)
        except msgspec.DecodeError as error:
            raise Transient(f"the answer of the gateway to {path} cannot be read: {error}") from error

    @asynccontextmanager
    async def request(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and lend its answer, which is a success; `options` are the fields of `Request`.

        Raises what the gateway raised; Transient while none answers, NotSent when the request surely did nothing.
        """
        asked = Request(method, path, **options)
        response = await self._patiently(asked)
        try:
            yield response
        except _BROKEN as error:
            self._failed(self._addresses[0], path, error)
            raise Transient(f"the gateway broke off its answer to {path}: {_said(error)}") from error
        finally:
            response.release()

    async def _patiently(self, asked: Request) -> aiohttp.ClientResponse:
        deadline, tries = self._clock.monotonic() + asked.patience_s, 0
        while True:
            try:
                return await self._answered(asked)
            except Transient as error:
                if not (asked.again or isinstance(error, NotSent)) or self._clock.monotonic() >= deadline:
                    raise
            pause = RETRY_S[min(tries, len(RETRY_S) - 1)]
            tries += 1
            await asyncio.sleep(pause * (0.5 + self._clock.random() / 2))

    async def _answered(self, asked: Request) -> aiohttp.ClientResponse:
        """Ask one gateway after the other until one answers. Raises what it refused with, or Transient."""
        problem: Exception | None = None
        sent = False
        for address in self._in_order():
            body = asked.data() if asked.data is not None else None
            try:
                response = await self._send(address, asked, body)
            except _BROKEN as error:
                problem = error
                self._failed(address, asked.path, error)
                sent = sent or not isinstance(error, aiohttp.ClientConnectorError)
                if sent and not asked.again:
                    break
                continue
            if response.status in _ELSEWHERE:
                problem = await _refusal(response)
                self._failed(address, asked.path, problem)
                continue
            return await self._accepted(address, asked.path, response)
        raise (Transient if sent else NotSent)(f"no gateway answers: {_said(problem)}") from problem

    async def _send(self, address: _Address, asked: Request, body: Any) -> aiohttp.ClientResponse:
        silence_s = ANSWER_S if asked.answer_s is None else None
        return await self._session.request(
            asked.method,
            f"{address.url}{wire.PREFIX}{asked.path}",
            params=asked.params,
            data=body,
            headers=self._headers | (_of_attempt(asked.held) if asked.held is not None else {}),
            timeout=aiohttp.ClientTimeout(total=asked.answer_s, sock_connect=CONNECT_S, sock_read=silence_s),
        )

    async def _accepted(self, address: _Address, path: str, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
        if response.status < 300:
            self._well(address)
            return response
        error = await _refusal(response)
        if isinstance(error, Defect):  # the gateway's; another one, or another version, may do better
            error = Transient(f"the gateway failed: {error}")
        if isinstance(error, Transient):
            metrics.WORKER_ERRORS.inc(_call(path))
            self._tell(f"{address.url}: {error}")
        else:
            self._well(address)
        raise error

    def _in_order(self) -> list[_Address]:
        """The present one first; those that failed lately only when there is no other."""
        now = self._clock.monotonic()
        good = [address for address in self._addresses if address.avoid_until <= now]
        return good or sorted(self._addresses, key=lambda address: address.avoid_until)

    def _well(self, address: _Address) -> None:
        address.failures, address.avoid_until = 0, 0.0
        if self._addresses[0] is not address:
            at = self._addresses.index(address)
            self._addresses = self._addresses[at:] + self._addresses[:at]
            log.info("this worker now asks the gateway at %s", address.url)
        elif self._told:
            log.info("the gateway at %s answers again", address.url)
        self.trouble, self._told = None, False

    def _failed(self, address: _Address, path: str, error: Exception) -> None:
        metrics.WORKER_ERRORS.inc(_call(path))
        address.failures += 1
        pause = AVOIDED_S[min(address.failures, len(AVOIDED_S)) - 1]
        address.avoid_until = self._clock.monotonic() + pause * (0.5 + self._clock.random() / 2)
        if all(one.failures for one in self._addresses):
            self._tell(f"{address.url} does not answer: {_said(error)}")
        elif address.failures == 1:
            log.warning("the gateway at %s does not answer, another one is asked: %s", address.url, _said(error))

    def _tell(self, trouble: str) -> None:
        self.trouble = trouble
        if not self._told:
            log.warning("the worker has no gateway and keeps trying: %s", trouble)
            self._told = True


def _of_attempt(held: Held) -> dict[str, str]:
    return {**telemetry.headers(), wire.ATTEMPT_HEADER: wire.attempt_header(held)}


def sendable(data: bytes) -> bytes | AsyncIterator[bytes]:
    """Return what to send for these bytes: many of them in pieces, so that the event loop is not held up."""
    return data if len(data) <= PIECE_BYTES else _pieces(data)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    view = memoryview(data)
    for start in range(0, len(data), PIECE_BYTES):
        yield bytes(view[start : start + PIECE_BYTES])


async def _refusal(response: aiohttp.ClientResponse) -> Exception:
    try:
        return wire.raised(response.status, await response.read())
    except _BROKEN as error:
        return Transient(f"the gateway broke off its answer {response.status}: {_said(error)}")
    finally:
        response.release()


def _call(path: str) -> str:
    """The name of a call for metrics: few, whatever the path holds."""
    return path.lstrip("/").split("/")[0]


def _said(error: Exception | None) -> str:
    return str(error) or type(error).__name__
