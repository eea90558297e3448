"""Control structures, one file each. `FLOWABLES` says which class orders the children of which type.

A flowable answers four questions and never looks at anything but its own task run, its progress and its flow:
`open` (evaluate its conditions once), `children` (who may start now), `goes_on` (is the main stage really over) and
`close` (its end state and outputs). Starting, ending, errors, finally and kill are the same for all (engine/advance.py).
"""

from levada.engine.flowables.branching import If, Switch
from levada.engine.flowables.dag import Dag
from levada.engine.flowables.flowable import Child, Flowable
from levada.engine.flowables.for_each import EachParallel, EachSequential, ForEach, Loop
from levada.engine.flowables.loop_until import LoopUntil
from levada.engine.flowables.parallel import Parallel
from levada.engine.flowables.pause import Pause
from levada.engine.flowables.sequential import AllowFailure, ForEachItem, Sequential

FLOWABLES: dict[str, Flowable] = {
    "core.flow.Sequential": Sequential(),
    "core.flow.Template": Sequential(),
    "core.flow.AllowFailure": AllowFailure(),
    "core.flow.Parallel": Parallel(),
    "core.flow.Dag": Dag(),
    "core.flow.If": If(),
    "core.flow.Switch": Switch(),
    "core.flow.ForEach": ForEach(),
    "core.flow.EachSequential": EachSequential(),
    "core.flow.EachParallel": EachParallel(),
    "core.flow.Loop": Loop(),
    "core.flow.LoopUntil": LoopUntil(),
    "core.flow.Pause": Pause(),
    "core.flow.ForEachItem": ForEachItem(),
}

__all__ = ["FLOWABLES", "Child", "Flowable"]
