"""The filters, one module a topic. Importing this package fills the table `registry.FILTERS`."""

from levada.expr.filters import collection, text

__all__ = ["collection", "text"]
