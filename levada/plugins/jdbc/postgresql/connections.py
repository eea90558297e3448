"""Connections to Postgres, kept between the tasks of this process.

There is one pool per database, user and way of connecting, opened by the first task that needs it and capped at
`connectionPoolSize`. A connection that idles is closed after some minutes; one that died meanwhile (the server restarted)
is replaced before a statement runs on it, never after. `close_pools` ends them all with the worker.
"""

import asyncio
import contextlib
import hashlib
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from levada.plugins.jdbc.postgresql import url
from levada.plugins.jdbc.postgresql.failures import explain
from levada.plugins.jdbc.postgresql.properties import Connecting, Pooling
from levada.sdk import RunContext, TaskFailed, shared

if TYPE_CHECKING:
    import asyncpg

IDLE_LIFETIME_S: Final = 300.0
MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_pools: dict[tuple[Any, ...], "asyncpg.Pool"] = {}


@contextlib.asynccontextmanager
async def connection(ctx: RunContext, task: Connecting) -> AsyncIterator["asyncpg.Connection"]:
    """Give a connection for the time of the block. Raises TaskFailed when the database cannot be reached."""
    import asyncpg

    address = url.parse(task.url)
    if address.ignored:
        ctx.log("WARN", f"parameters of `url` without effect here: {', '.join(address.ignored)}")
    pool: asyncpg.Pool | None = None
    zone = task.time_zone_id if isinstance(task, Pooling) else None
    arguments = _arguments(task, address, zone)
    try:
        if isinstance(task, Pooling) and task.connection_pooling:
            pool = _pool(arguments, task.connection_pool_size, ssl_identity(task, address))
            taken = await _healthy(pool)
        else:
            taken = await asyncpg.connect(**arguments)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise TaskFailed(f"cannot connect to {address.shown()}: {explain(error)}") from error
    try:
        yield taken
    finally:
        if pool is not None:
            await pool.release(taken)
        else:
            await _closed(taken)


async def close_pools() -> None:
    """Close every pool of this process."""
    while _pools:
        _, pool = _pools.popitem()
        pool.terminate()


def _pool(arguments: dict[str, Any], size: int, identity: str) -> "asyncpg.Pool":
    """Return the pool for these arguments; it belongs to the running event loop."""
    import asyncpg

    secret = hashlib.sha256(repr((arguments["password"], identity)).encode()).hexdigest()
    plain = {name: value for name, value in arguments.items() if name not in ("password", "ssl")}
    key = (id(asyncio.get_running_loop()), repr(sorted(plain.items())), secret, size)
    pool = _pools.get(key)
    if pool is None:
        pool = asyncpg.create_pool(
            **arguments, min_size=0, max_size=size, max_inactive_connection_lifetime=IDLE_LIFETIME_S
        )
        _pools[key] = pool
        shared.on_close(close_pools)
    return pool


async def _healthy(pool: "asyncpg.Pool") -> "asyncpg.Connection":
    """Take a connection that answers; after a restart of the server those left in the pool do not."""
    import asyncpg

    await pool  # opens it the first time
    pooled = await pool.acquire()
    try:
        await pooled.fetchval("SELECT 1")
        return pooled
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        await _discarded(pool, pooled)
        await pool.expire_connections()  # the others are as old, so that they will be dead too
        return await pool.acquire()
    except BaseException:
        await _discarded(pool, pooled)
        raise


async def _discarded(pool: "asyncpg.Pool", pooled: "asyncpg.Connection") -> None:
    import asyncpg

    with contextlib.suppress(asyncpg.InterfaceError):  # a connection that was lost has left the pool by itself
        pooled.terminate()
    await pool.release(pooled)


async def _closed(own: "asyncpg.Connection") -> None:
    try:
        await own.close(timeout=5)
    except (OSError, TimeoutError):
        own.terminate()


def _arguments(task: Connecting, address: url.Address, zone: str | None) -> dict[str, Any]:
    settings = {"application_name": "levada", **dict(address.settings)}
    if zone:
        settings["timezone"] = zone
    return {
        "host": list(address.hosts) if len(address.hosts) > 1 else address.hosts[0],
        "port": list(address.ports) if len(address.ports) > 1 else address.ports[0],
        "user": task.username or address.user,
        "password": task.password if task.password is not None else address.password,
        "database": address.database or task.username or address.user,
        "ssl": _ssl(task, dict(address.ssl), address.hosts[0]),
        "timeout": address.connect_timeout_s,
        "server_settings": settings,
        "target_session_attrs": address.target,
        # Statements of a task are prepared explicitly; a cache would only go stale when tables change.
        "statement_cache_size": 0,
    }


def ssl_identity(task: Connecting, address: url.Address) -> str:
    """Return what distinguishes one way of encrypting from another."""
    return repr((
        task.ssl, task.ssl_mode, task.ssl_root_cert, task.ssl_cert, task.ssl_key, task.ssl_key_password, address.ssl,
    ))  # fmt: skip


def _ssl(task: Connecting, given: dict[str, str], host: str) -> Any:
    """Return asyncpg's `ssl` argument. Like the JDBC driver: `ssl: true` alone means verify-full, nothing means prefer."""
    if host.startswith("/"):
        return False  # a unix socket
    mode = (task.ssl_mode or given.get("sslmode", "")).lower().replace("_", "-")
    if not mode:
        wanted = task.ssl or given.get("ssl", "false").lower() in ("", "true")
        mode = "verify-full" if wanted else "prefer"
    if mode not in MODES:
        raise TaskFailed(f"property `url`: sslmode must be one of {', '.join(MODES)}, but is {mode!r}")
    if mode in ("disable", "allow", "prefer") and not task.ssl_cert:
        return mode
    context = ssl.create_default_context()
    context.check_hostname = mode == "verify-full"
    root = task.ssl_root_cert or given.get("sslrootcert")
    if not mode.startswith("verify") and not root:
        context.verify_mode = ssl.CERT_NONE
    try:
        if root:
            context.load_verify_locations(**({"cadata": root} if "-----BEGIN" in root else {"cafile": root}))
        if task.ssl_cert:
            _load_certificate(context, task)
    except (OSError, ValueError) as error:
        raise TaskFailed(
            f"`sslRootCert`, `sslCert` or `sslKey` cannot be used: {error}; PEM texts are needed"
        ) from error
    return context


def _load_certificate(context: ssl.SSLContext, task: Connecting) -> None:
    """Load certificate and key through a file that only this user can read: the library takes nothing else."""
    pem = f"{(task.ssl_cert or '').strip()}\n{(task.ssl_key or '').strip()}\n"
    handle, path = tempfile.mkstemp(prefix="levada-", suffix=".pem")
    try:
        os.write(handle, pem.encode())
        context.load_cert_chain(path, password=task.ssl_key_password)
    finally:
        os.close(handle)
        os.unlink(path)
