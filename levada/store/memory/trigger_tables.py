"""The rows of schedules and deliveries in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from levada.store.triggers import Declared, DeliveryKey, Fire


@dataclass(slots=True)
class State:
    declared: Declared
    revision: int
    next_slot: int | None
    probe: bool
    enabled_at: int
    updated: int
    disabled: bool = False
    last_slot: int | None = None
    last_fired: int | None = None
    last_execution: str | None = None
    skipped: int = 0
    note: str | None = None
    error: str | None = None


@dataclass(slots=True)
class Fired:
    uid: str
    fire: Fire
    at: int
    claimed: int
    sent: bool = False


@dataclass(slots=True)
class TriggerTables:
    """The rows of trigger_flow, trigger_state, trigger_fire and webhook_delivery."""

    #: Revision, format and error by flow.
    flows: dict[tuple[str, str, str], tuple[int, int, str | None]] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    fired: dict[tuple[str, int], Fired] = field(default_factory=dict)
    deliveries: dict[DeliveryKey, tuple[str, int, bool]] = field(default_factory=dict)
