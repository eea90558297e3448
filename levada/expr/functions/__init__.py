"""The functions, one module a topic. Importing this package fills the table `registry.FUNCTIONS`."""

from levada.expr.functions import data, services

__all__ = ["data", "services"]
