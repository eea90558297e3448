"""The connections of one process.

A small pool of our own instead of asyncpg's, because borrowing a connection happens for every statement: theirs asks the
server to reset the session on every return (a round trip, and nobody here changes session state) and arms a timer on every
loan. What remains is short. A connection that was interrupted in mid-statement may be waiting for an answer that belongs
to somebody else: it is thrown away. One that was idle for long may lead nowhere: it is replaced. And every statement has a
limit, on both sides, because a server that went silent would be waited for without end.

A pool survives restarts of the server: dead connections are replaced when they are asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import asyncpg

from levada.database.errors import DISK_FULL, translated, unreached
from levada.model.errors import Transient

log = logging.getLogger(__name__)

#: An asyncpg connection; the library carries no types.
Connection = Any

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0
LONGEST_IDLE_S = 300.0
CLOSE_TIMEOUT_S = 5.0
#: What a statement raises when its connection is no more.
LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

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


class Database:
    """Runs statements. All methods raise `Transient` when the database is away."""

    def __init__(
        self, dsn: str, *, size: int = 10, name: str = "levada", settings: Mapping[str, str] | None = None
    ) -> None:
        """Connects nowhere yet. `name` is what pg_stat_activity shows; `settings` go over ours."""
        self.dsn = dsn
        self._settings = {**SETTINGS, **(settings or {}), "application_name": name}
        self._free = asyncio.Semaphore(size)
        self._idle: list[tuple[Connection, float]] = []
        self._lent: set[Connection] = set()
        self._returned = asyncio.Event()  # that none is lent
        self._returned.set()
        self._closed = False
        #: When a statement last found the disk full, and what was said.
        self._full: tuple[float, str] | None = None

    @classmethod
    async def open(
        cls, dsn: str, *, size: int = 10, name: str = "levada", settings: Mapping[str, str] | None = None
    ) -> Self:
        """Return a pool that reached the server once."""
        database = cls(dsn, size=size, name=name, settings=settings)
        await database.fetchval("SELECT 1")
        return database

    async def connect(self) -> Connection:
        """Return a connection outside the pool, for session state (LISTEN, advisory locks). The caller closes it."""
        try:
            return await asyncpg.connect(
                self.dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                max_cacheable_statement_size=0,  # no limit: the longest statement is the one that runs most
                server_settings=self._settings,
            )
        except Exception as error:
            raise unreached(error, self.dsn, CONNECT_TIMEOUT_S) from error

    def short_of_disk(self, within_s: float) -> str | None:
        """Return what Postgres said when a statement found no space on its disk within the last seconds, if one did."""
        if self._full is None or asyncio.get_running_loop().time() - self._full[0] > within_s:
            return None
        return self._full[1]

    def _translated(self, error: Exception) -> BaseException:
        said = translated(error)
        if getattr(error, "sqlstate", None) == DISK_FULL:
            self._full = (asyncio.get_running_loop().time(), str(said))
        return said

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. One that was interrupted is thrown away."""
        lent = await self._borrow()
        try:
            yield lent
        except Exception as error:
            if isinstance(error, TimeoutError):
                lent.terminate()
            raise self._translated(error) from error
        except BaseException:
            lent.terminate()
            raise
        finally:
            self._give_back(lent)

    async def _borrow(self) -> Connection:
        if self._closed:
            raise Transient("the connections to Postgres are closed")
        await self._free.acquire()
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection, since = self._idle.pop()
            if not connection.is_closed() and now - since < LONGEST_IDLE_S:
                return self._lend(connection)
            connection.terminate()
        try:
            connection = await self.connect()
        except BaseException:
            self._free.release()
            raise
        return self._lend(connection)

    def _lend(self, connection: Connection) -> Connection:
        self._lent.add(connection)
        self._returned.clear()
        return connection

    def _give_back(self, connection: Connection) -> None:
        self._lent.discard(connection)
        if not self._lent:
            self._returned.set()
        if self._closed or connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
        else:
            self._idle.append((connection, asyncio.get_running_loop().time()))
        self._free.release()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction: committed at the end of the block, rolled back when it raises."""
        async with self.connection() as lent:
            await lent.execute("BEGIN")
            try:
                yield lent
            except Exception:
                await _roll_back(lent)
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
        """Close every connection; those in use when they are given back, or by force when that takes too long."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection, _ in idle:
            try:
                await connection.close(timeout=CLOSE_TIMEOUT_S)
            except LOST:
                connection.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._returned.wait(), CLOSE_TIMEOUT_S)
        for connection in list(self._lent):
            connection.terminate()


async def _roll_back(connection: Connection) -> None:
    """End a failed transaction; when that fails too, the connection goes, and the transaction with it."""
    if connection.is_closed():
        return
    try:
        await connection.execute("ROLLBACK")
    except LOST:
        connection.terminate()


def touched(status: str) -> int:
    """Return the number of rows in a command tag: `INSERT 0 5` is 5, `BEGIN` is 0."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
