"""The pool of connections of one process.

Three habits of asyncpg are turned off or guarded against. Releasing a connection asks the server to reset the session,
one round trip for every use: nobody here changes session state, so nothing is reset. A connection that was interrupted
in mid-statement may be waiting for an answer that belongs to somebody else: it is thrown away. And a connection without
limits waits for ever for a server that went silent: every wait has a limit, on both sides.

A pool survives restarts of the server: dead connections are replaced when they are asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import asyncpg

from levada.database.errors import translated

log = logging.getLogger(__name__)

#: An asyncpg connection; the library carries no types.
Connection = Any

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0
ACQUIRE_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0
NO_LIMIT = 2**31 - 1

SETTINGS = {
    "statement_timeout": "55000",
    "lock_timeout": "20000",
    # An owner that was frozen inside a transaction must not keep the rows locked that its successor needs.
    "idle_in_transaction_session_timeout": "5000",
    "tcp_user_timeout": "10000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "client_connection_check_interval": "5000",
    "jit": "off",
    "timezone": "UTC",
}

#: For the few statements of a hot path: planned once per connection, not again for every set of values.
PLAN_ONCE = {"plan_cache_mode": "force_generic_plan"}


async def _keep_session(_: Connection) -> None:
    """Reset nothing when a connection is released; see the module's first paragraph."""


class Database:
    """Runs statements. All methods raise `Transient` when the database is away."""

    def __init__(self, dsn: str, *, name: str = "levada", settings: Mapping[str, str] = SETTINGS) -> None:
        """Connects nowhere yet. `name` is what pg_stat_activity shows."""
        self.dsn = dsn
        self._settings = {**settings, "application_name": name}
        self._pool: Any = None

    @classmethod
    async def open(
        cls, dsn: str, *, size: int = 10, name: str = "levada", settings: Mapping[str, str] | None = None
    ) -> Self:
        """Connect. `settings` go over ours."""
        database = cls(dsn, name=name, settings={**SETTINGS, **(settings or {})})
        try:
            database._pool = await asyncpg.create_pool(
                dsn,
                min_size=min(2, size),
                max_size=size,
                max_queries=NO_LIMIT,
                max_cacheable_statement_size=0,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings=database._settings,
                reset=_keep_session,
            )
        except Exception as error:
            raise translated(error) from error
        return database

    async def connect(self) -> Connection:
        """Return a connection outside the pool, for session state (LISTEN, advisory locks). The caller closes it."""
        try:
            return await asyncpg.connect(
                self.dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings=self._settings,
            )
        except Exception as error:
            raise translated(error) from error

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. One that was interrupted is thrown away."""
        try:
            lent = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
        except Exception as error:
            raise translated(error) from error
        try:
            yield lent
        except Exception as error:
            if _lives(lent) and lent.is_in_transaction():
                lent.terminate()
            raise translated(error) from error
        except BaseException:
            if _lives(lent):
                lent.terminate()
            raise
        finally:
            await self._take_back(lent)

    async def _take_back(self, lent: Connection) -> None:
        """Release a connection. When it died on the way, what was done with it is done; the pool replaces it."""
        try:
            await self._pool.release(lent)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            log.debug("a connection was lost while it was given back: %s", error)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction: committed at the end of the block, rolled back when it raises."""
        async with self.connection() as lent:
            await lent.execute("BEGIN")
            try:
                yield lent
            except Exception:
                if _lives(lent):
                    await lent.execute("ROLLBACK")
                raise
            await lent.execute("COMMIT")

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        async with self.connection() as lent:
            rows: list[Any] = await lent.fetch(sql, *arguments)
            return rows

    async def fetchrow(self, sql: str, *arguments: Any) -> Any:
        async with self.connection() as lent:
            return await lent.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        async with self.connection() as lent:
            return await lent.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> int:
        """Run a statement and return how many rows it touched."""
        async with self.connection() as lent:
            return touched(await lent.execute(sql, *arguments))

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        async with self.connection() as lent:
            await lent.executemany(sql, rows)

    async def close(self) -> None:
        """Close every connection, at once when they do not end in time."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            await asyncio.wait_for(pool.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            pool.terminate()


def _lives(lent: Connection) -> bool:
    """Whether a lent connection is there. The pool takes back by itself those whose server died; asking them raises."""
    try:
        return not lent.is_closed()
    except asyncpg.InterfaceError:
        return False


def touched(status: str) -> int:
    """Return the number of rows in a command tag: `INSERT 0 5` is 5, `BEGIN` is 0."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
