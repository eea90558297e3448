"""Tasks on lines of text: Split and Reverse."""

from levada.sdk import Task


class Split(Task):
    """Cuts a file into several, by rows, bytes, number of parts or a pattern."""

    TYPE = "core.storage.Split"
    ALIASES = ("io.kestra.core.tasks.storages.Split",)

    from_: str
    bytes: str | int | None = None
    partitions: int | None = None
    rows: int | None = None
    regex_pattern: str | None = None
    separator: str = "\n"


class Reverse(Task):
    """Writes the rows of a file in the opposite order."""

    TYPE = "core.storage.Reverse"
    ALIASES = ("io.kestra.core.tasks.storages.Reverse",)

    from_: str
    separator: str = "\n"
    charset: str = "UTF-8"


TASKS = [Split, Reverse]
