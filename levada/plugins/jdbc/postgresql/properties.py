"""Properties that the Postgres tasks share: how to connect, what to fetch, how COPY reads and writes."""

from typing import Annotated, Any, Literal

import msgspec

SslMode = Literal["DISABLE", "ALLOW", "PREFER", "REQUIRE", "VERIFY_CA", "VERIFY_FULL"]
FetchType = Literal["STORE", "FETCH", "FETCH_ONE", "NONE"]


class Connecting(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Where and as whom. Certificates and keys are PEM texts."""

    url: str
    username: str | None = None
    password: str | None = None
    ssl: bool = False
    ssl_mode: SslMode | None = None
    ssl_root_cert: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    ssl_key_password: str | None = None


class Pooling(Connecting, kw_only=True):
    """Connections are kept between tasks of this process, at most `connectionPoolSize` per database and user."""

    connection_pooling: bool = True
    connection_pool_size: Annotated[int, msgspec.Meta(ge=1)] = 10
    time_zone_id: str | None = None


class Querying(Pooling, kw_only=True):
    """What to run and what to do with the rows. `fetch`, `fetchOne` and `store` are old forms of `fetchType`."""

    sql: str
    after_sql: str | None = msgspec.field(default=None, name="afterSQL")
    parameters: dict[str, Any] | None = None
    fetch_type: FetchType | None = None
    fetch_size: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    fetch: bool | None = None
    fetch_one: bool | None = None
    store: bool | None = None


class Copying(Connecting, kw_only=True):
    """The options of COPY."""

    table: str | None = None
    columns: list[str] | None = None
    format: Literal["TEXT", "CSV", "BINARY"] = "TEXT"
    header: bool | None = None
    delimiter: str | None = None
    null_string: str | None = None
    quote: str | None = None
    escape: str | None = None
    force_quote: list[str] | None = None
    force_not_null: list[str] | None = None
    force_null: list[str] | None = None
    freeze: bool | None = None
    oids: bool | None = None
    encoding: str | None = None
    socket_timeout: int | None = None
