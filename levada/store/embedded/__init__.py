"""A Postgres server of our own, so that Levada runs where nobody installed one.

`EmbeddedPostgres(data_dir)` owns one database cluster in a data folder and one server process: it finds binaries, makes
the cluster on first use, starts the server as a direct child that listens on a private Unix socket only, restarts it when
it dies and takes it down on `stop()`. Nothing outside the data folder is changed: no system user, no permissions.

Read `supervisor` first (the life of the server), then what it stands on: `lock` (one owner per data folder), `binaries`
(which Postgres), `privilege` (how to run it as root), `cluster` (initdb and the server's settings), `orphans` (servers
that an owner left behind when it was killed), `child` (a process we wait for).
"""

from levada.store.embedded.errors import DataDirInUse, EmbeddedPostgresError
from levada.store.embedded.supervisor import EmbeddedPostgres

__all__ = ["DataDirInUse", "EmbeddedPostgres", "EmbeddedPostgresError"]
