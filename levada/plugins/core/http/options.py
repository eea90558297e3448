"""Properties that all HTTP tasks share: the request itself and `options`."""

from datetime import timedelta
from typing import Any, Literal

import msgspec

from levada.sdk import Part


class Timeouts(Part, frozen=True):
    """`readIdleTimeout` is the longest silence between two pieces of a response."""

    connect_timeout: timedelta | None = None
    read_idle_timeout: timedelta | None = timedelta(minutes=5)


class Proxy(Part, frozen=True):
    """The proxy to go through; DIRECT means none."""

    type: Literal["DIRECT", "HTTP", "SOCKS"] = "DIRECT"
    address: str | None = None
    port: int | None = None
    username: str | None = None
    password: str | None = None


class Ssl(Part, frozen=True):
    insecure_trust_all_certificates: bool = False


class BasicAuth(Part, frozen=True, tag_field="type", tag="BASIC"):
    username: str | None = None
    password: str | None = None


class BearerAuth(Part, frozen=True, tag_field="type", tag="BEARER"):
    token: str | None = None


class DigestAuth(Part, frozen=True, tag_field="type", tag="DIGEST"):
    username: str | None = None
    password: str | None = None


LogPart = Literal["REQUEST_HEADERS", "REQUEST_BODY", "RESPONSE_HEADERS", "RESPONSE_BODY"]


class Options(Part, frozen=True):
    """How a request is made. The lower half are old spellings of the upper."""

    timeout: Timeouts = Timeouts()
    proxy: Proxy = Proxy()
    auth: BasicAuth | BearerAuth | DigestAuth | None = None
    ssl: Ssl = Ssl()
    follow_redirects: bool = True
    allow_failed: bool = False
    allowed_response_codes: list[int] | None = None
    default_charset: str = "UTF-8"
    enabled_tcp_extended_keep_alive: bool = True
    logs: list[LogPart] | None = None

    connect_timeout: timedelta | None = None
    read_timeout: timedelta | None = None
    read_idle_timeout: timedelta | None = None
    connection_pool_idle_timeout: timedelta | None = None
    max_content_length: int | None = None
    proxy_type: Literal["DIRECT", "HTTP", "SOCKS"] | None = None
    proxy_address: str | None = None
    proxy_port: int | None = None
    proxy_username: str | None = None
    proxy_password: str | None = None
    basic_auth_user: str | None = None
    basic_auth_password: str | None = None
    log_level: Literal["ALL", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF", "NOT_SPECIFIED"] | None = None


class Requesting(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The properties of one request. A `body` that is a map or list is sent as JSON."""

    uri: str
    method: str = "GET"
    params: dict[str, Any] | None = None
    headers: dict[str, Any] | None = None
    body: str | dict[str, Any] | list[Any] | None = None
    form_data: dict[str, Any] | None = None
    content_type: str = "application/json"
    options: Options = Options()
    ssl_options: Ssl | None = None
