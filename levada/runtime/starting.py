"""From a trigger to a start: what schedules and webhooks have in common.

Whether the trigger's conditions hold, what its inputs and labels render to, and the command that starts the flow. A
schedule has nobody to tell what went wrong, so for it a start that can not be made becomes an execution that failed
(`failed`); a webhook answers its caller instead.

Expressions are evaluated in this process. Those that only read what is at hand cost microseconds; a `kv` or `secret` is
asked for in a thread, so that nothing else waits (`rendered`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from levada import expr
from levada.engine import Environment, conditions, context, inputs
from levada.expr import UndefinedVariable
from levada.model.commands import StartExecution
from levada.model.errors import UserError
from levada.model.execution import Origin
from levada.model.flow import Flow, Trigger
from levada.runtime import sealing
from levada.runtime.clock import Clock
from levada.runtime.config import Config
from levada.store.port import KvStore

T = TypeVar("T")

#: Longest wait for what one expression asks for.
CALL_TIMEOUT_S = 10.0
#: Set in the threads of `rendered`: the loop that can be waited for there.
_LOOP: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("loop", default=None)
SYSTEM = "system."

Variables = dict[str, Any]


def environment_of(config: Config, envs: Mapping[str, str]) -> Environment:
    """Return what expressions of triggers see of the installation."""
    kestra = {"url": config.server.url, "environment": {"name": config.environment.name}}
    return Environment(
        globals=dict(config.variables.globals),
        envs=dict(envs),
        kestra={key: value for key, value in kestra.items() if value},
    )


@dataclass(frozen=True, slots=True)
class Starter:
    """Makes starts of flows. One per process."""

    clock: Clock
    environment: Environment
    secrets: Mapping[str, str]
    kv: KvStore
    encryption_key: bytes | None = None

    def scope(self, flow: Flow, **more: Any) -> Variables:
        """Return what the expressions of a flow's triggers read, with `more` variables."""
        return {
            "flow": {"id": flow.id, "namespace": flow.namespace, "revision": flow.revision, "tenantId": flow.tenant},
            "namespace": {"id": flow.namespace},
            "vars": flow.variables,
            "labels": context.nested(list(flow.labels)),
            "globals": self.environment.globals,
            "envs": self.environment.envs,
            "kestra": self.environment.kestra,
            **more,
        }

    def host(self, flow: Flow, seed: str, now: int | None = None) -> Host:
        return Host(self.clock.now_us() if now is None else now, seed, flow, self.secrets, self.kv)

    async def rendered(self, reads: Any, work: Callable[[], T]) -> T:
        """Do `work`, which renders what `reads` holds: in a thread if that may have to wait for something."""
        if not expr.needs_io(reads):
            return work()
        token = _LOOP.set(asyncio.get_running_loop())
        try:
            return await asyncio.to_thread(work)
        finally:
            _LOOP.reset(token)

    def holds(self, trigger: Trigger, flow: Flow, scope: Variables, host: expr.Host) -> bool:
        """Whether `when` and all conditions of the trigger hold. Raises UserError for what can not be evaluated."""
        when = trigger.properties.get("when")
        if when is not None and not expr.truthy(expr.reveal(expr.render(when, scope, host))):
            return False
        subject = conditions.Subject(namespace=flow.namespace, flow_id=flow.id, labels=dict(flow.labels))
        return conditions.all_hold(conditions_of(trigger), subject, conditions.Scope(scope, host))

    def start(
        self,
        flow: Flow,
        trigger: Trigger,
        execution_id: str,
        scope: Variables,
        host: expr.Host,
        **more: Any,
    ) -> StartExecution:
        """Return the start that a trigger asks for; `scope` has its variables. `more` are fields of the command.

        Raises UserError, of which InvalidInputs names every input that is wrong.
        """
        given = expr.render(dict(trigger.inputs), scope, host)
        return StartExecution(
            execution_id=execution_id,
            tenant=flow.tenant,
            namespace=flow.namespace,
            flow_id=flow.id,
            flow_revision=flow.revision,
            inputs=self.inputs(flow, execution_id, expr.reveal(given)),
            resolved=True,
            labels=labels_of(trigger, scope, host),
            trigger=Origin(id=trigger.id, type=trigger.type, variables=scope.get("trigger") or {}),
            **more,
        )

    def inputs(self, flow: Flow, execution_id: str, values: dict[str, Any]) -> dict[str, Any] | None:
        """Return the typed inputs of an execution. Raises InvalidInputs with one finding per wrong input."""
        if not flow.inputs:
            return None
        return self.sealed(flow, inputs.resolve(flow, values, now=self.clock.now_us(), seed=execution_id))

    def sealed(self, flow: Flow, tree: dict[str, Any]) -> dict[str, Any]:
        """Return the inputs with those of type SECRET encrypted. Without an encryption key they stay as they are."""
        for declared in flow.inputs:
            if self.encryption_key is None or declared.type != "SECRET":
                continue
            *path, last = declared.id.split(".")
            node = tree
            for part in path:
                node = node.get(part) or {}
            if isinstance(node.get(last), str):
                nonce = self.clock.random_bytes(sealing.NONCE_BYTES)
                node[last] = sealing.seal(self.encryption_key, node[last], nonce)
        return tree


def failed(
    flow: Flow, trigger: Trigger, execution_id: str, variables: Variables, why: str, **more: Any
) -> StartExecution:
    """Return the start of an execution that can not run, and says why."""
    return StartExecution(
        execution_id=execution_id,
        tenant=flow.tenant,
        namespace=flow.namespace,
        flow_id=flow.id,
        flow_revision=flow.revision,
        labels=list(trigger.labels),
        trigger=Origin(id=trigger.id, type=trigger.type, variables=variables),
        failure=why,
        **more,
    )


def conditions_of(trigger: Trigger) -> list[Any]:
    """Return the conditions of a trigger under either of their names."""
    return [*(trigger.properties.get("conditions") or ()), *(trigger.properties.get("scheduleConditions") or ())]


def labels_of(trigger: Trigger, scope: Variables, host: expr.Host) -> list[tuple[str, str]]:
    """Return the rendered labels, the last of each key. Raises UserError for those of the system."""
    out: dict[str, str] = {}
    for key, value in trigger.labels:
        text = expr.reveal(expr.render(value, scope, host))
        if key.startswith(SYSTEM):
            raise UserError(f"trigger {trigger.id}: the label {key} belongs to the system and can not be set")
        out[key] = "" if text is None else str(text)
    return list(out.items())


class Host(context.PureHost):
    """Time, identifiers, secrets and the key-value store for the expressions of one trigger."""

    __slots__ = ("_flow", "_kv", "_secrets")

    def __init__(self, now_us: int, seed: str, flow: Flow, secrets: Mapping[str, str], kv: KvStore) -> None:
        super().__init__(now_us, seed)
        self._flow = flow
        self._secrets = secrets
        self._kv = kv

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if name == "secret":
            return self._secret(*args, **kwargs)
        if name == "kv":
            return self._value(*args, **kwargs)
        raise UserError(f"function `{name}` can not be used in a trigger; here are `secret` and `kv`")

    def _secret(self, key: Any, namespace: Any = None, subkey: Any = None) -> str:
        found = self._secrets.get(str(key))
        if found is None:
            raise UserError(f"Cannot find secret for key '{key}'.")
        if subkey is None:
            return found
        try:
            inner = json.loads(found)[subkey]
        except (ValueError, KeyError, TypeError) as problem:
            raise UserError(f"Cannot find secret sub-key '{subkey}' in secret '{key}'.") from problem
        return inner if isinstance(inner, str) else json.dumps(inner)

    def _value(self, key: Any, namespace: Any = None, errorOnMissing: Any = True, **_: Any) -> Any:
        loop = _LOOP.get()
        if loop is None:
            raise UserError("function `kv` can not be used in this place")
        found = asyncio.run_coroutine_threadsafe(self._look_up(str(key), namespace), loop).result(CALL_TIMEOUT_S)
        if found is not None:
            return found[0]
        if str(errorOnMissing).lower() == "false":
            return None
        where = namespace or self._flow.namespace
        raise UndefinedVariable(f"kv('{key}')", hint=f"The key '{key}' does not exist in the namespace '{where}'.")

    async def _look_up(self, key: str, namespace: Any) -> tuple[Any] | None:
        """With a namespace given only that one is read, else the flow's and its parents."""
        parts = self._flow.namespace.split(".")
        spaces = [str(namespace)] if namespace else [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        for space in spaces:
            row = await self._kv.get(self._flow.tenant, space, key)
            if row is not None and (row.expires is None or row.expires > self._now):
                return (row.value,)
        return None
