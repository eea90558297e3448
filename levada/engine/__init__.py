"""The engine: the state machine of an execution, as a pure library. Start reading at `decide.py`."""

from levada.engine.decide import Decision, decide, preview, preview_start
from levada.engine.environment import Environment
from levada.engine.evolve import evolve, fold
from levada.engine.turn import Refused

__all__ = ["Decision", "Environment", "Refused", "decide", "evolve", "fold", "preview", "preview_start"]
