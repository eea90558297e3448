"""What the engine needs to know of the installation it runs in; given by the shell, the same for many turns."""

from collections.abc import Callable
from typing import Any

import msgspec


def _as_is(inputs: dict[str, Any]) -> dict[str, Any]:
    return inputs


class Environment(msgspec.Struct, kw_only=True):
    """`slots` is how many executions hold a slot, by flow key: the shell's reading, kept current within a batch.

    `decrypt` opens SECRET inputs (pure: key in, text out). Durations are microseconds.
    """

    globals: dict[str, Any] = {}
    envs: dict[str, Any] = {}
    kestra: dict[str, Any] = {}
    slots: dict[str, int] = {}
    decrypt: Callable[[dict[str, Any]], dict[str, Any]] = _as_is
    #: How many task runs one turn may start before it hands over to the next (loops only).
    turn_budget: int = 500
    #: After this the executor itself ends what a killed worker did not.
    kill_deadline_us: int = 60_000_000
    max_iterations: int = 100_000
    output_limit_bytes: int = 1024 * 1024
    subflow_depth: int = 20
