"""What the executor is given to work with, besides store and bus: flows, its share of the partitions, and who wants to hear.

Each is a protocol, so that tests and the simulation put their own in. Only `Assignment` and `FlowSource.prepare` do I/O;
those who are told of changes must take them without waiting, because a batch is held up by whatever they do.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from levada.model.execution import ExecutionHead
from levada.model.flow import Flow
from levada.model.states import State
from levada.store.members import Ownership
from levada_executor.batch import Announcement


class FlowSource(Protocol):
    """Where flows come from. `prepare` may do I/O; `find` answers from memory."""

    async def prepare(self, wanted: set[tuple[str, str, str, int | None]]) -> None: ...

    def find(self, tenant: str, namespace: str, id: str, revision: int | None) -> Flow | None: ...


class Announcer(Protocol):
    """Where listeners of this process wait: runtime/hub.py."""

    def announce(self, execution_id: str, state: State, terminal: bool) -> None: ...


class ChangeSink(Protocol):
    """Where changes go for those in other processes: runtime/changes.py."""

    def publish(self, changes: Sequence[Announcement], executions: Sequence[ExecutionHead]) -> None: ...


class Assignment(Protocol):
    """Who owns which partition of the commands topic: runtime/partitions.py."""

    async def again(self) -> list[Ownership]: ...

    def lost(self, held: Collection[int]) -> list[int]: ...

    def surplus(self, held: Collection[int]) -> list[int]: ...

    async def take(self, held: Collection[int]) -> list[Ownership]: ...

    async def give_back(self, partitions: Collection[int]) -> None: ...
