"""The stores in Postgres. One module per protocol of `store/port.py`; statements in `sql/`, named like what runs them."""

from levada.store.postgres.executions import PostgresExecutionStore

__all__ = ["PostgresExecutionStore"]
