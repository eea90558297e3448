"""The filters, one module a topic. Importing this package fills the table `registry.FILTERS`."""

from levada.expr.filters import collection, crypto, data, date, number, text

__all__ = ["collection", "crypto", "data", "date", "number", "text"]
