"""What reading a flow found out and the rules of `check` need: the parts with their paths, beside the flow itself."""

from dataclasses import dataclass, field
from typing import Any

from levada.flowfile.loader import Document, Path
from levada.model import flow as model
from levada.sdk import Registry


@dataclass(slots=True)
class Facts:
    """`data` has the plugin defaults merged in. `tasks` and `triggers` are all of them, nested ones too, with their paths."""

    flow: model.Flow
    data: dict[str, Any]
    document: Document
    registry: Registry
    strict: bool = False
    tasks: list[tuple[model.Task, Path]] = field(default_factory=list)
    triggers: list[tuple[model.Trigger, Path]] = field(default_factory=list)
    #: Ids of tasks that could not be read.
    unread: set[str] = field(default_factory=set)
