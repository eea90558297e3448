"""Places where a test can make this process fail on purpose.

    LEVADA_FAILPOINTS=executor.after_commit=exit,store.before_commit=delay:0.5

A failpoint is a call that does nothing unless the environment variable names it when the process starts. Actions: `exit`
(die at once, as if killed), `hang` (stop the event loop for ever), `raise` (a Defect), `lose` (a Transient, as if the answer was lost), `delay:SECONDS` (blocks the loop).
An action may carry a probability or a count: `exit@0.01` one time in a hundred, `exit#5` the fifth time only.
"""

from __future__ import annotations

import os
import random
import re
import sys
import time
from dataclasses import dataclass, field

from levada.model.errors import Defect, Transient, UserError

VARIABLE = "LEVADA_FAILPOINTS"
KILLED = 137
_SPEC = re.compile(r"([a-z_.]+)=(exit|hang|raise|lose|delay)(?::([0-9.]+))?(?:@([0-9.]+))?(?:#([0-9]+))?")


@dataclass(slots=True)
class _Failpoint:
    name: str
    action: str
    argument: float
    probability: float
    only: int
    hits: int = 0
    chance: random.Random = field(default_factory=random.Random)

    def hit(self) -> None:
        self.hits += 1
        if self.only and self.hits != self.only:
            return
        if self.probability < 1.0 and self.chance.random() >= self.probability:
            return
        # Whoever reads the log must not take for a fault of the product what somebody asked for.
        sys.stderr.write(f"failpoint {self.name}: {self.action}\n")
        sys.stderr.flush()
        match self.action:
            case "exit":
                os._exit(KILLED)
            case "hang":
                time.sleep(1e9)
            case "delay":
                time.sleep(self.argument)
            case "lose":
                raise Transient(f"failpoint {self.name}: the answer is lost")
            case _:
                raise Defect(f"failpoint {self.name}")


def parse(text: str) -> dict[str, _Failpoint]:
    """Return the failpoints of `name=action[:argument][@probability][#count],…`. Raises UserError."""
    found = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        spec = _SPEC.fullmatch(part)
        if spec is None:
            raise UserError(
                f"{VARIABLE}: `{part}` is not name=exit|hang|raise|lose|delay[:seconds][@probability][#count]"
            )
        name, action, argument, probability, only = spec.groups()
        found[name] = _Failpoint(name, action, float(argument or 0), float(probability or 1), int(only or 0))
    return found


_active = parse(os.environ.get(VARIABLE, ""))


def failpoint(name: str) -> None:
    """Do what the environment asks for at this place: normally nothing."""
    if _active:
        found = _active.get(name)
        if found is not None:
            found.hit()
