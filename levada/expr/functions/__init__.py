"""The functions, one module a topic. Importing this package fills the table `registry.FUNCTIONS`."""

from levada.expr.functions import context, crypto, data, date, identifier, services

__all__ = ["context", "crypto", "data", "date", "identifier", "services"]
