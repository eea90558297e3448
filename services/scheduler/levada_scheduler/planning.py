"""What becomes of a schedule whose time has come: which dates are fired, which are left out, which is next.

No clock, no store: `plan` takes what is due and the time, and returns a step that the store takes or refuses. It must
never raise for what is wrong with one schedule: that is a step too, with the error in it, and looked at again later.

Three words. A date is *late* up to `missed_after`; beyond that it was *missed*, because nobody was there or because the
execution before it still ran, and `recoverMissedSchedules` decides. A *probe* is a time from which on the first date is
looked for: of a new schedule, of one that was switched on, or where conditions left no date for so long that the search
is taken up again another time.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

import msgspec

from levada import expr
from levada.engine import context
from levada.model import commands
from levada.model.errors import Transient, UserError
from levada.model.flow import Flow
from levada.runtime import telemetry
from levada.runtime.clock import base62, uuid7
from levada.runtime.starting import Starter, Variables, failed
from levada.store.triggers import Due, Fire, Step
from levada_scheduler import definition
from levada_scheduler.definition import Schedule

log = logging.getLogger("levada.scheduler")

#: Dates that are tested for conditions at a time; beyond them the search goes on from there when that date has come.
MOST_TESTED: Final = 500
#: Dates of one schedule fired in one step; the rest follow in the next.
MOST_AT_ONCE: Final = 20
#: When a schedule that can not be read is looked at again: what it reads may have been put right.
AGAIN_US: Final = 300_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Endless(msgspec.Struct, frozen=True):
    """No date found, but the search could go on after this one."""

    tested: int


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans by the settings of one process."""

    starter: Starter
    zone: tzinfo
    recover: str = "ALL"
    missed_after_us: int = 10_000_000
    catch_up: int = 1000

    def plan(self, due: Due, now: int) -> Step:
        """Return what to do about a schedule that is due."""
        if due.stopped_by is not None:
            note = f"stopped: execution {due.stopped_by}, which is one of its stopAfter states"
            return _step(due, None, note=note, stop=True)
        try:
            return self._planned(due, self.schedule(due, now), now)
        except Transient:
            raise
        except UserError as error:
            return _step(due, now + AGAIN_US, probe=True, error=str(error))
        except Exception as error:  # one schedule that breaks us must not stop all the others
            log.exception("schedule %s can not be planned", due.uid)
            return _step(due, now + AGAIN_US, probe=True, error=f"internal error: {type(error).__name__}: {error}")

    def schedule(self, due: Due, now: int) -> Schedule:
        """Return what is due in a form that can be fired. Raises UserError."""

        def render(flow: Flow, value: Any) -> Any:
            if not isinstance(value, str) or "{" not in value:
                return value
            return expr.reveal(expr.render(value, self.starter.scope(flow), self.starter.host(flow, due.uid, now)))

        return definition.read(due, self.zone, render)

    def _planned(self, due: Due, schedule: Schedule, now: int) -> Step:
        if due.probe:
            return self._moved(due, self._next(schedule, due.next_slot - 1))
        dates, more = self._dates(schedule, due.next_slot, now)
        chosen, note = self._chosen(schedule, dates, more, now)
        now_fired = chosen[: MOST_AT_ONCE if schedule.allow_concurrent else 1]
        fires = [self._fire(due, schedule, date, now) for date in now_fired]
        skipped = len(dates) - len(chosen)
        if len(now_fired) < len(chosen):
            return _step(due, chosen[len(now_fired)], fires=fires, skipped=skipped, note=note)
        return self._moved(due, self._next(schedule, now), fires=fires, skipped=skipped, note=note)

    def _moved(self, due: Due, found: int | _Endless | None, **more: Any) -> Step:
        if isinstance(found, _Endless):
            return _step(due, found.tested, probe=True, **more)
        if found is None:
            more["note"] = "; ".join(filter(None, (more.get("note"), "there is no further date")))
        return _step(due, found, **more)

    # --- which dates

    def _next(self, schedule: Schedule, after: int) -> int | _Endless | None:
        """Return the first date after then whose conditions hold, or can not be evaluated: then firing it says why."""
        date = after
        for _ in range(MOST_TESTED):
            found = schedule.table.after(date, schedule.zone)
            if found is None or self._matches(schedule, found):
                return found
            date = found
        return _Endless(date + 1)

    def _previous(self, schedule: Schedule, before: int) -> int | None:
        date = before
        for _ in range(MOST_TESTED):
            found = schedule.table.before(date, schedule.zone)
            if found is None or self._matches(schedule, found):
                return found
            date = found
        return None

    def _dates(self, schedule: Schedule, first: int, now: int) -> tuple[list[int], bool]:
        """Return the dates from `first` up to now, the latest `catch_up` of them, and whether there were more."""
        dates: list[int] = []
        date = now + 1
        tested = 0
        while (found := schedule.table.before(date, schedule.zone)) is not None and found >= first:
            if len(dates) >= self.catch_up or tested >= self.catch_up + MOST_TESTED:
                return dates[::-1], True
            if self._matches(schedule, found):
                dates.append(found)
            date = found
            tested += 1
        return dates[::-1], False

    def _chosen(self, schedule: Schedule, dates: list[int], more: bool, now: int) -> tuple[list[int], str | None]:
        """Return the dates to fire, and what people should know about the others."""
        notes = []
        if more:
            notes.append(f"dates before the latest {len(dates)} that were missed are left out (scheduler.catch_up)")
        late = schedule.late_maximum_us
        chosen = dates
        if late is not None:
            chosen = [date for date in chosen if now - date <= late]
            if len(chosen) < len(dates):
                notes.append(f"dates that were left out as too late: {len(dates) - len(chosen)} (lateMaximumDelay)")
        missed = [date for date in chosen if now - date > self.missed_after_us]
        policy = schedule.recover or self.recover
        if missed and policy != "ALL":
            kept = chosen[len(missed) :]
            kept = chosen[-1:] if policy == "LAST" else kept
            if len(kept) < len(chosen):
                notes.append(
                    f"missed dates that were left out: {len(chosen) - len(kept)} (recoverMissedSchedules: {policy})"
                )
            chosen = kept
        elif missed:
            notes.append(f"missed dates that are fired late: {len(missed)} (recoverMissedSchedules: ALL)")
        return chosen, "; ".join(notes) or None

    def _matches(self, schedule: Schedule, date: int) -> bool:
        if not schedule.conditional:
            return True
        scope = self.starter.scope(schedule.flow, trigger=self._raw_variables(schedule, date))
        host = self.starter.host(schedule.flow, f"{schedule.trigger.id}/{date}", date)
        try:
            return self.starter.holds(schedule.trigger, schedule.flow, scope, host)
        except UserError:
            return True

    # --- what a date is fired with

    def _fire(self, due: Due, schedule: Schedule, date: int, now: int) -> Fire:
        execution_id = execution_id_of(due.uid, date)
        variables = self.variables(schedule, date)
        flow, trigger = schedule.flow, schedule.trigger
        host = self.starter.host(flow, execution_id, now)
        scope = self.starter.scope(flow, trigger=variables)
        more: dict[str, Any] = {"scheduled": date, "trace_parent": telemetry.new_trace(execution_id)}
        try:
            if schedule.conditional:
                self.starter.holds(trigger, flow, scope, host)  # they hold, or this says what is wrong with them
            command = self.starter.start(flow, trigger, execution_id, scope, host, **more)
        except UserError as error:
            command = failed(flow, trigger, execution_id, variables, str(error), **more)
        return Fire(date, execution_id, commands.encode(command))

    def variables(self, schedule: Schedule, date: int) -> Variables:
        """Return `trigger.date`, `trigger.next` and `trigger.previous`, in the schedule's zone."""
        found = {
            "date": date,
            "next": self._next(schedule, date),
            "previous": self._previous(schedule, date),
        }
        return {name: shown(at, schedule.zone) for name, at in found.items() if isinstance(at, int)}

    def _raw_variables(self, schedule: Schedule, date: int) -> Variables:
        """As `variables`, for the conditions themselves: the dates before and after as the expression has them."""
        found = {
            "date": date,
            "next": schedule.table.after(date, schedule.zone),
            "previous": schedule.table.before(date, schedule.zone),
        }
        return {name: shown(at, schedule.zone) for name, at in found.items() if at is not None}


def _step(due: Due, next_slot: int | None, **more: Any) -> Step:
    return Step(uid=due.uid, revision=due.revision, expected=due.next_slot, next_slot=next_slot, **more)


def execution_id_of(uid: str, date: int) -> str:
    """Return the id of the execution of a date: always the same, whoever fires it; sorts by the date."""
    digest = hashlib.blake2b(f"{uid}@{context.iso(date)}".encode(), digest_size=8).digest()
    return base62(uuid7(date, digest))


def shown(at: int, zone: tzinfo) -> str:
    """Return `2026-01-31T09:00:00+01:00`; `Z` for UTC."""
    text = (_EPOCH + timedelta(microseconds=at)).astimezone(zone).isoformat(timespec="seconds")
    return text[:-6] + "Z" if text.endswith("+00:00") else text
