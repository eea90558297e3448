"""One HTTP request: sent as `options` say, its status checked, its body handed over as a stream.

`exchange` is the only way in. It refuses what is not HTTP, never keeps a body in memory, and turns every way in which a
request can fail into a TaskFailed that names the request, what happened and which property has a say in it. aiohttp is
imported only here and only when a task runs: processes that merely read flows do without.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from levada.plugins.core.http import form
from levada.plugins.core.http.options import BasicAuth, BearerAuth, DigestAuth, Options, Proxy, Requesting
from levada.sdk import RunContext, TaskFailed

if TYPE_CHECKING:
    import aiohttp

CHUNK_BYTES: Final = 64 * 1024
#: How much of the body of a failed response an error message shows.
EXCERPT_BYTES: Final = 1024
#: The largest body that may become an output; `options.maxContentLength` changes it.
MAX_BODY_BYTES: Final = 10 * 1024 * 1024
_HIDDEN_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})


class Response:
    """A response whose body has not been read yet."""

    def __init__(self, raw: "aiohttp.ClientResponse", request: str, charset: str, max_body_bytes: int) -> None:
        self._raw = raw
        self._request = request
        self._charset = charset
        self._max_body_bytes = max_body_bytes
        self.code = raw.status
        self.reason = raw.reason or "error"
        self.url = str(raw.url)
        self.content_type = raw.content_type

    @property
    def headers(self) -> dict[str, list[str]]:
        """Header names in lower case, each with all its values."""
        found: dict[str, list[str]] = {}
        for name, value in self._raw.headers.items():
            found.setdefault(name.lower(), []).append(value)
        return found

    @property
    def file_name(self) -> str | None:
        """The name that Content-Disposition suggests."""
        disposition = self._raw.content_disposition
        return disposition.filename if disposition is not None else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces, decompressed."""
        async for chunk in self._raw.content.iter_chunked(CHUNK_BYTES):
            yield chunk

    async def text(self) -> str:
        """Read the whole body as text. Raises TaskFailed when it is larger than an output may be."""
        buffer = bytearray()
        async for chunk in self.chunks():
            buffer += chunk
            if len(buffer) > self._max_body_bytes:
                limit = f"{self._max_body_bytes / 1024 / 1024:g} MiB"
                raise TaskFailed(
                    f"{self._request}: the response is larger than {limit}, too large for an output; "
                    "core.http.Download stores it as a file"
                )
        return bytes(buffer).decode(self._encoding(), errors="replace")

    async def excerpt(self) -> str:
        """Return the start of the body for an error message."""
        start = await self._raw.content.read(EXCERPT_BYTES)
        return start.decode(self._encoding(), errors="replace").strip()

    def _encoding(self) -> str:
        name = self._raw.charset or self._charset
        try:
            "".encode(name)
        except LookupError as error:
            raise TaskFailed(
                f"{self._request}: unknown character set {name}; it comes from the response or `options.defaultCharset`"
            ) from error
        return name


@contextlib.asynccontextmanager
async def exchange(ctx: RunContext, task: Requesting, *, allow_failed: bool = False) -> AsyncIterator[Response]:
    """Send the request and give its response; both end with the block.

    Raises TaskFailed when the request cannot be made, or when its status is an error that no property allows.
    """
    import aiohttp

    options = task.options
    request = f"{task.method.upper()} {_address(task.uri)}"
    _refuse_other_schemes(task.uri)
    headers = _headers(ctx, task, options)
    async with contextlib.AsyncExitStack() as stack:
        body = await stack.enter_async_context(form.body(ctx, task, headers))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=_timeout(options))
        )
        _log_request(ctx, task, request, headers)
        try:
            raw = await stack.enter_async_context(
                session.request(
                    task.method.upper(),
                    task.uri.strip(),
                    params=_params(task.params),
                    headers=headers,
                    data=body,
                    allow_redirects=options.follow_redirects,
                    ssl=not _insecure(task),
                    **_digest(options),
                    **_proxy(options),
                )
            )
            limit = options.max_content_length or MAX_BODY_BYTES
            response = Response(raw, request, options.default_charset, limit)
            if "RESPONSE_HEADERS" in (options.logs or ()):
                ctx.log("INFO", f"{request}: response {response.code}, headers {_shown(raw.headers)}")
            await _check_status(response, request, options, allow_failed or options.allow_failed)
            yield response
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            raise TaskFailed(_explain(error, request)) from error


async def _check_status(response: Response, request: str, options: Options, allow_failed: bool) -> None:
    allowed = options.allowed_response_codes or ()
    if response.code < 400 or allow_failed or response.code in allowed:
        return
    excerpt = await response.excerpt()
    shown = f": {excerpt}" if excerpt else ", with an empty body"
    raise TaskFailed(
        f"{request} was answered with {response.code} {response.reason}{shown}",
        outputs={"code": response.code, "uri": response.url, "headers": response.headers},
    )


def _explain(error: Exception, request: str) -> str:
    import aiohttp

    match error:
        case aiohttp.ConnectionTimeoutError():
            return f"{request}: no connection within the time of `options.timeout.connectTimeout`"
        case aiohttp.SocketTimeoutError():
            return f"{request}: the server was silent for longer than `options.timeout.readIdleTimeout`"
        case TimeoutError():
            return f"{request}: timed out; see `options.timeout`"
        case aiohttp.ClientConnectorCertificateError():
            return f"{request}: the certificate is not trusted ({error}); `options.ssl.insecureTrustAllCertificates` skips the check"
        case aiohttp.ClientConnectorError():
            return f"{request}: cannot connect: {error.os_error.strerror or error.os_error}"
        case aiohttp.TooManyRedirects():
            return f"{request}: redirected more than {len(error.history)} times; see `options.followRedirects`"
        case aiohttp.InvalidURL():
            return f"{request}: property `uri` is no address of the form https://host/path"
        case aiohttp.ServerDisconnectedError():
            return f"{request}: the server closed the connection without an answer"
    return f"{request}: {type(error).__name__}: {error}"


def _refuse_other_schemes(uri: str) -> None:
    if not uri.strip().lower().startswith(("http://", "https://")):
        raise TaskFailed(f"property `uri` must begin with http:// or https://, but is {uri!r:.200}")


def _address(uri: str) -> str:
    """Return the address without what may hold a password."""
    scheme, mark, rest = uri.strip().partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def _headers(ctx: RunContext, task: Requesting, options: Options) -> dict[str, str]:
    headers = {str(name): str(value) for name, value in (task.headers or {}).items() if value is not None}
    match options.auth:
        case BearerAuth(token=token):
            headers["Authorization"] = f"Bearer {token or ''}"
        case BasicAuth(username=user, password=password):
            headers["Authorization"] = _basic(user, password)
        case None if options.basic_auth_user:
            headers["Authorization"] = _basic(options.basic_auth_user, options.basic_auth_password)
    if ctx.trace_parent is not None and not any(name.lower() == "traceparent" for name in headers):
        headers["traceparent"] = ctx.trace_parent
    return headers


def _basic(user: str | None, password: str | None) -> str:
    return "Basic " + base64.b64encode(f"{user or ''}:{password or ''}".encode()).decode()


def _params(params: dict[str, Any] | None) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in (params or {}).items():
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                pairs.append((name, item if isinstance(item, str) else json.dumps(item)))
    return pairs


def _timeout(options: Options) -> "aiohttp.ClientTimeout":
    import aiohttp

    connect = options.timeout.connect_timeout or options.connect_timeout
    silence = options.read_idle_timeout or options.read_timeout or options.timeout.read_idle_timeout
    return aiohttp.ClientTimeout(
        total=None,
        sock_connect=connect.total_seconds() if connect is not None else None,
        sock_read=silence.total_seconds() if silence is not None else None,
    )


def _insecure(task: Requesting) -> bool:
    old = task.ssl_options
    return task.options.ssl.insecure_trust_all_certificates or (old is not None and old.insecure_trust_all_certificates)


def _digest(options: Options) -> dict[str, Any]:
    """Digest answers a challenge of the server, so that no header can be prepared for it."""
    import aiohttp

    if not isinstance(options.auth, DigestAuth):
        return {}
    return {"middlewares": (aiohttp.DigestAuthMiddleware(options.auth.username or "", options.auth.password or ""),)}


def _proxy(options: Options) -> dict[str, Any]:
    proxy = options.proxy
    if options.proxy_type is not None:
        proxy = Proxy(
            type=options.proxy_type,
            address=options.proxy_address,
            port=options.proxy_port,
            username=options.proxy_username,
            password=options.proxy_password,
        )
    if proxy.type == "DIRECT":
        return {}
    if proxy.type == "SOCKS":
        raise TaskFailed("`options.proxy.type` SOCKS is not supported: use a proxy of type HTTP")
    if not proxy.address:
        raise TaskFailed("`options.proxy.address` is needed for a proxy of type HTTP")
    user = f"{quote(proxy.username, safe='')}:{quote(proxy.password or '', safe='')}@" if proxy.username else ""
    return {"proxy": f"http://{user}{proxy.address}:{proxy.port or 8080}"}


def _log_request(ctx: RunContext, task: Requesting, request: str, headers: Mapping[str, str]) -> None:
    logs = task.options.logs or ()
    if "REQUEST_HEADERS" in logs:
        ctx.log("INFO", f"{request}: headers {_shown(headers)}")
    if "REQUEST_BODY" in logs and task.body is not None:
        ctx.log("INFO", f"{request}: body {task.body if isinstance(task.body, str) else json.dumps(task.body)}")


def _shown(headers: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name}: {'***' if name.lower() in _HIDDEN_HEADERS else value}" for name, value in headers.items()
    )
