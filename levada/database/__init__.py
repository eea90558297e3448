"""Reaching Postgres: the pool, what its errors mean, and statements kept in `.sql` files.

The adapters of store, bus and jobs are strangers to each other but stand on the same database; this package is all they
share. It knows no table. Read `errors` first, then `pool`, then `statements`.
"""

from levada.database.errors import translated
from levada.database.pool import PLAN_ONCE, Connection, Database, touched
from levada.database.statements import Statements

__all__ = ["PLAN_ONCE", "Connection", "Database", "Statements", "touched", "translated"]
