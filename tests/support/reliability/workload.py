"""The flows that the harnesses run: every kind of thing that can be lost, doubled, leaked or done in the wrong order.

`FLOWS` says how often each is started, how it may end, and what a client does with it. Tasks that have effects are shell
tasks that write the ledger (records.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from installation import shell

from reliability.records import LEDGER_BEGIN, LEDGER_END, LEDGER_FAIL

NAMESPACE = "chaos"
WEBHOOK_KEY = "3f9a1c5be07d42688d1f"
SLOTS = 3
"""The concurrency limit of `limited`."""

CANARY_NAME = "CANARY"
"""The secret whose value may be seen nowhere."""


@dataclass(frozen=True)
class Flow:
    """`weight` is how often a client chooses it; `ends` the states it may end in when nobody asked for anything else."""

    id: str
    source: str
    weight: int
    ends: frozenset[str] = frozenset({"SUCCESS"})
    #: What the client does after the start: resume, kill, label.
    follow: str = ""


def _shell(id_: str, *work: str, extra: str = "", indent: int = 2) -> str:
    """Return a shell task that writes the ledger around its work, as lines of YAML."""
    lines = [
        f"- id: {id_}",
        "  type: scripts.shell.Commands",
        *([f"  {extra}"] if extra else []),
        "  commands:",
        "    - |",
    ]
    lines += [f"      {line}" for line in (LEDGER_BEGIN, *work, LEDGER_END)]
    return "\n".join(" " * indent + line for line in lines)


FAIL_FIRST = f"if [ {{{{ taskrun.attemptsCount }}}} -eq 0 ]; then {LEDGER_FAIL}; fi"

QUICK = """
tasks:
  - id: value
    type: core.output.OutputValues
    values:
      of: "{{ execution.id }}"
  - id: say
    type: core.log.Log
    message: "{{ outputs.value.values.of }}"
"""
MIXED = f"""
tasks:
{_shell("work")}
  - id: child
    type: core.flow.Subflow
    namespace: {NAMESPACE}
    flowId: quick
    wait: true
  - id: each
    type: core.flow.ForEach
    values: [a, b]
    concurrencyLimit: 0
    tasks:
{_shell("inner", indent=6)}
      - id: say
        type: core.log.Log
        message: "{{{{ taskrun.value }}}}"
"""
TIMED = f"""
tasks:
  - id: nap
    type: core.flow.Sleep
    duration: PT0.3S
{_shell("after")}
"""
FLAKY = f"""
tasks:
{_shell("work", FAIL_FIRST, extra="retry: {type: constant, interval: PT0.5S, maxAttempts: 4}")}
"""
LIMITED = f"""
concurrency:
  limit: {SLOTS}
  behavior: QUEUE
tasks:
{_shell("work", "sleep 0.05")}
"""
SLOW = f"""
tasks:
{_shell("work", "sleep 2")}
"""
ONCE = f"""
tasks:
{_shell("work", "sleep 0.3", extra="onWorkerLost: fail")}
"""
PAUSING = """
tasks:
  - id: wait
    type: core.flow.Pause
  - id: say
    type: core.log.Log
    message: resumed
"""
HOOKED = f"""
triggers:
  - id: hook
    type: core.trigger.Webhook
    key: {WEBHOOK_KEY}
tasks:
  - id: say
    type: core.log.Log
    message: "{{{{ trigger.body.key }}}}"
"""
SECRETIVE = """
tasks:
  - id: tell
    type: core.log.Log
    message: "the secret is {{ secret('CANARY') }}"
  - id: shout
    type: scripts.shell.Commands
    env:
      HIDDEN: "{{ secret('CANARY') }}"
    commands:
      - 'echo "it is $HIDDEN"'
"""
ASKING = """
tasks:
  - id: ask
    type: core.flow.If
    condition: "{{ kv('nothing', errorOnMissing=false) is null }}"
    then:
      - id: say
        type: core.log.Log
        message: "nothing is there"
"""
TICKING = """
triggers:
  - id: tick
    type: core.trigger.Schedule
    cron: "* * * * * *"
    withSeconds: true
    timezone: UTC
    recoverMissedSchedules: ALL
    allowConcurrent: true
tasks:
  - id: say
    type: core.log.Log
    message: "{{ trigger.date }}"
"""

_BODIES = (
    Flow("quick", QUICK, 36),
    Flow("mixed", MIXED, 6),
    Flow("timed", TIMED, 6),
    Flow("flaky", FLAKY, 4),
    Flow("limited", LIMITED, 6),
    Flow("slow", SLOW, 3),
    Flow("doomed", SLOW, 2, frozenset({"SUCCESS", "KILLED"}), "kill"),
    Flow("once", ONCE, 3, frozenset({"SUCCESS", "FAILED"})),
    Flow("pausing", PAUSING, 4, follow="resume"),
    Flow("labelled", QUICK, 2, follow="label"),
    Flow("secretive", SECRETIVE, 1),
    Flow("asking", ASKING, 3),
    Flow("hooked", HOOKED, 8),
    Flow("ticking", TICKING, 0),
)
FLOWS: dict[str, Flow] = {flow.id: flow for flow in _BODIES}

NEEDS = {"hooked": "webhook", "ticking": "scheduler", "secretive": "secrets"}
"""Flows that only some installations can run, with what these must have."""


def source(flow: Flow, ledger: Path) -> str:
    """Return the flow file of a flow."""
    return f"id: {flow.id}\nnamespace: {NAMESPACE}\n" + flow.source.replace("LEDGER", shell(ledger)).lstrip("\n")


def names(*can: str) -> list[str]:
    """Return the flows for an installation that has these of: webhook, scheduler, secrets."""
    return [name for name in FLOWS if NEEDS.get(name) is None or NEEDS[name] in can]
