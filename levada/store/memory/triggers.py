"""`TriggerStore` and `Deliveries` in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from levada.store import encoding
from levada.store.memory.tables import Tables
from levada.store.memory.trigger_tables import Fired, State
from levada.store.port import FlowRow
from levada.store.triggers import (
    Declared,
    DeliveryKey,
    Due,
    Fire,
    FlowSchedules,
    Step,
    TriggerState,
    look_again,
    shard_of,
)

#: As in the Postgres adapter.
UNDER_WAY_US = 300_000_000

_Key = tuple[str, str, str]


class MemoryTriggerStore:
    def __init__(self, tables: Tables, *, now_us: Callable[[], int]) -> None:
        self._tables = tables
        self._mine = tables.triggers
        self._now_us = now_us

    async def now(self) -> int:
        return self._now_us()

    # --- firing

    async def upcoming(self, now: int, grace_us: int = 0) -> int | None:
        states = [(state.next_slot, state.last_fired) for state in self._mine.states.values()]
        following = min((slot for slot, _ in states if slot is not None and slot > now), default=None)
        due = [(slot, fired) for slot, fired in states if slot is not None and slot <= now]
        young = min((slot + grace_us + 1 for slot, _ in due if slot > now - grace_us), default=None)
        return look_again(now, following, young, max((fired for _, fired in due if fired is not None), default=None))

    async def due(self, now: int, limit: int, *, share: tuple[int, int] = (0, 1), grace_us: int = 0) -> list[Due]:
        index, count = share
        found = []
        for uid, state in self._mine.states.items():
            slot = state.next_slot
            if slot is None or slot > now or (shard_of(uid) % count != index and slot >= now - grace_us):
                continue
            if self._waits(state, now):
                continue
            found.append(
                Due(
                    uid=uid,
                    revision=state.revision,
                    definition=state.declared.definition,
                    next_slot=slot,
                    probe=state.probe,
                    stopped_by=self._stopped_by(uid, state),
                )
            )
        return sorted(found, key=lambda due: due.next_slot, reverse=True)[:limit]

    def _waits(self, state: State, now: int) -> bool:
        if state.declared.allow_concurrent or state.probe or state.last_execution is None:
            return False
        head = self._tables.heads.get(state.last_execution)
        if head is None:
            return state.last_fired is not None and state.last_fired >= now - UNDER_WAY_US
        execution = encoding.head_from(head)
        return not execution.deleted and encoding.ended(execution) is None

    def _stopped_by(self, uid: str, state: State) -> str | None:
        for fired in self._mine.fired.values():
            head = self._tables.heads.get(fired.fire.execution_id)
            if fired.uid != uid or fired.at < state.enabled_at or head is None:
                continue
            execution = encoding.head_from(head)
            if encoding.ended(execution) is not None and execution.state in state.declared.stop_after:
                return f"{execution.id} ended {execution.state}"
        return None

    async def advance(self, steps: Sequence[Step]) -> list[Fire]:
        now, fired = self._now_us(), []
        for step in steps:
            state = self._mine.states.get(step.uid)
            if state is None or (state.next_slot, state.revision) != (step.expected, step.revision):
                continue
            state.next_slot, state.probe, state.error, state.updated = step.next_slot, step.probe, step.error, now
            state.skipped += step.skipped
            state.note = step.note if step.note is not None else state.note
            state.disabled = state.disabled or step.stop
            for fire in step.fires:
                state.last_slot, state.last_fired, state.last_execution = fire.slot, now, fire.execution_id
                if (step.uid, fire.slot) not in self._mine.fired:
                    self._mine.fired[step.uid, fire.slot] = Fired(step.uid, fire, now, now)
                    fired.append(fire)
        return fired

    async def sent(self, execution_ids: Collection[str]) -> None:
        wanted = set(execution_ids)
        for fired in self._mine.fired.values():
            if fired.fire.execution_id in wanted:
                fired.sent = True

    async def unsent(self, older_us: int, limit: int) -> list[Fire]:
        now = self._now_us()
        old = [each for each in self._mine.fired.values() if not each.sent and each.claimed < now - older_us]
        for fired in old[:limit]:
            fired.claimed = now
        return [fired.fire for fired in old[:limit]]

    # --- declaring

    async def outdated(self, format: int, since: str | None, limit: int) -> tuple[list[FlowRow], str]:
        """`since` saves reading; here everything is read always."""
        found = []
        for key in self._tables.flows:
            row = self._in_force(key)
            if row is None:
                continue
            revision, of_format, _ = self._mine.flows.get(key, (None, 0, None))
            if revision != row.revision or of_format < format:
                found.append(row)
        return found[:limit], ""

    def _in_force(self, key: _Key) -> FlowRow | None:
        counting = [row for row in self._tables.flows.get(key, {}).values() if not row.draft or row.deleted]
        return max(counting, key=lambda row: row.revision, default=None)

    async def vanished(self) -> list[tuple[str, str, str]]:
        return [key for key in self._mine.flows if self._in_force(key) is None]

    async def declare(self, format: int, flows: Sequence[FlowSchedules]) -> int:
        count = 0
        for flow in flows:
            key = (flow.tenant, flow.namespace, flow.flow_id)
            row = self._in_force(key)
            if row is None or row.revision != flow.revision:
                continue
            count += 1
            self._mine.flows[key] = (flow.revision, format, flow.error)
            if flow.error is not None:
                self._break(key, flow.revision, flow.error)
                continue
            wanted = {declared.uid for declared in flow.schedules}
            for uid in self._of_flow(key):
                if uid not in wanted:
                    del self._mine.states[uid]
            for declared in flow.schedules:
                self._declare(declared, flow.revision)
        return count

    def _declare(self, declared: Declared, revision: int) -> None:
        now = self._now_us()
        first = now if declared.active else None
        state = self._mine.states.get(declared.uid)
        if state is None:
            self._mine.states[declared.uid] = State(declared, revision, first, True, now, now)
            return
        same = state.next_slot is not None and state.error is None and state.declared.signature == declared.signature
        state.probe = state.probe or not same
        if not declared.active or state.disabled:
            state.next_slot = None
        elif not same:
            state.next_slot = first
        state.declared, state.revision, state.error, state.updated = declared, revision, None, now

    def _break(self, key: _Key, revision: int, error: str) -> None:
        for uid in self._of_flow(key):
            state = self._mine.states[uid]
            state.next_slot, state.error, state.revision, state.updated = None, error, revision, self._now_us()

    def _of_flow(self, key: _Key) -> list[str]:
        return [uid for uid in self._mine.states if tuple(uid.split("/")[:3]) == key]

    async def forget(self, flows: Sequence[tuple[str, str, str]]) -> None:
        for key in flows:
            self._mine.flows.pop(key, None)
            for uid in self._of_flow(key):
                del self._mine.states[uid]

    async def retry_broken(self) -> None:
        for key, (revision, _, error) in self._mine.flows.items():
            if error is not None:
                self._mine.flows[key] = (revision, 0, error)

    # --- people

    async def states(self, tenant: str, namespace: str | None = None, flow_id: str | None = None) -> list[TriggerState]:
        found = [state for _, state in sorted(self._mine.states.items()) if state.declared.tenant == tenant]
        return [
            self._shown(state)
            for state in found
            if namespace in (None, state.declared.namespace) and flow_id in (None, state.declared.flow_id)
        ]

    def _shown(self, state: State) -> TriggerState:
        declared = state.declared
        waits = self._waits(state, self._now_us()) and state.last_execution in self._tables.heads
        return TriggerState(
            tenant=declared.tenant,
            namespace=declared.namespace,
            flow_id=declared.flow_id,
            trigger_id=declared.trigger_id,
            type=declared.type,
            revision=state.revision,
            active=declared.active,
            disabled=state.disabled,
            next_slot=state.next_slot,
            probe=state.probe,
            last_slot=state.last_slot,
            last_fired=state.last_fired,
            last_execution=state.last_execution,
            skipped=state.skipped,
            note=state.note,
            error=state.error,
            updated=state.updated,
            waits_for=state.last_execution if waits else None,
        )

    async def tally(self) -> tuple[int, int]:
        states = self._mine.states.values()
        running = sum(state.declared.active and not state.disabled for state in states)
        return running, sum(state.error is not None for state in states)

    async def switch(self, uid: str, enabled: bool) -> bool:
        state, now = self._mine.states.get(uid), self._now_us()
        if state is None:
            return False
        if not enabled or not state.declared.active:
            state.next_slot = None
        elif state.disabled:
            state.next_slot = now
        state.probe = state.probe or state.disabled or not enabled
        if enabled and state.disabled:
            state.enabled_at, state.note = now, None
        state.disabled, state.updated = not enabled, now
        return True

    async def purge_fired(self, before: int, limit: int) -> int:
        gone = [key for key, fired in self._mine.fired.items() if fired.at < before and fired.sent][:limit]
        for key in gone:
            del self._mine.fired[key]
        return len(gone)


class MemoryDeliveries:
    def __init__(self, tables: Tables) -> None:
        self._claims = tables.triggers.deliveries

    async def claim(self, key: DeliveryKey, execution_id: str, at: int) -> tuple[str, int, bool]:
        return self._claims.setdefault(key, (execution_id, at, False))

    async def sent(self, key: DeliveryKey) -> None:
        execution_id, at, _ = self._claims[key]
        self._claims[key] = (execution_id, at, True)

    async def purge(self, before: int, limit: int) -> int:
        gone = [key for key, (_, at, _) in self._claims.items() if at < before][:limit]
        for key in gone:
            del self._claims[key]
        return len(gone)
