"""Tasks on rows: FilterItems and DeduplicateItems."""

from typing import Literal

from levada.sdk import Task


class DeduplicateItems(Task):
    """Keeps the last row of each key."""

    TYPE = "core.storage.DeduplicateItems"
    ALIASES = ("io.kestra.core.tasks.storages.DeduplicateItems",)
    RAW = frozenset({"expr"})

    from_: str
    expr: str


class FilterItems(Task):
    """Keeps or drops the rows for which a condition holds."""

    TYPE = "core.storage.FilterItems"
    ALIASES = ("io.kestra.core.tasks.storages.FilterItems",)
    RAW = frozenset({"filterCondition"})

    from_: str
    filter_condition: str
    filter_type: Literal["INCLUDE", "EXCLUDE"] = "INCLUDE"
    error_or_null_behavior: Literal["FAIL", "INCLUDE", "EXCLUDE"] = "FAIL"


TASKS = [DeduplicateItems, FilterItems]
