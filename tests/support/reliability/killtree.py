"""killtree: scripts that do not want to end are ended, with everything they have started (R16).

A script is put together by the seed from tricks: children in sessions of their own, double forks, deaf processes, processes
that hold the output open, clear their environment, stop themselves, or start again whatever dies. Each is then

    stopped   as a kill or a timeout does it: SIGTERM, the grace, SIGKILL
    ended     by itself, leaving behind what it has started
    orphaned  its worker is killed with SIGKILL, and nobody is left to stop it

Survivors are looked for without asking the guard: every process of this machine that carries the script's marker in its
command line or environment, works in its folder, or has the file open that the script opened first.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from levada_worker.process.guarded import Guard
from reliability.report import ROOT, Report, percentile

GRACE_S = 0.5
AFTER_S = 2.0
"""How long after the grace something may still be there."""

SETTLE_S = 0.6
AT_ONCE = 4
BORN_S = 20.0
NAP_S = 300

_DEAF = (
    "import os, signal, sys, time\n"
    "for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)\n"
)
_DAEMON = _DEAF + (
    "if os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
    "os.environ.clear()\nos.chdir('/')\ntime.sleep(300)\n"
)
_CLOSED = _DEAF + "os.closerange(0, 64)\nos.chdir('/')\ntime.sleep(300)\n"
_CHAIN = _DEAF + "while True:\n    time.sleep(0.2)\n    if os.fork(): os._exit(0)\n    os.setsid()\n"
_THREADS = (
    _DEAF
    + "import threading\nfor _ in range(8): threading.Thread(target=time.sleep, args=(300,)).start()\nos.setsid()\n"
    "time.sleep(300)\n"
)


def _python(code: str) -> str:
    """Return the shell words that run this code, with the marker in its arguments."""
    return f'{sys.executable} -c "{code.replace(chr(34), chr(39))}" MARK'


TRICKS: dict[str, str] = {
    "a child": f"sleep {NAP_S} &",
    "a pipeline": f"yes MARK > /dev/null | sleep {NAP_S} &",
    "a session": f"setsid sleep {NAP_S} &",
    "deaf": f"sh -c 'trap \"\" TERM INT HUP; while :; do sleep {NAP_S}; done' MARK &",
    "a deaf session": f"setsid sh -c 'trap \"\" TERM INT HUP; sleep {NAP_S}; sleep {NAP_S}' MARK &",
    "a daemon": f"{_python(_DAEMON)} &",
    "closed files": f"{_python(_CLOSED)} &",
    "a chain of forks": f"setsid {_python(_CHAIN)} &",
    "threads": f"{_python(_THREADS)} &",
    "nohup": f"nohup sleep {NAP_S} > /dev/null 2>&1 &",
    "disowned": f"sleep {NAP_S} & disown",
    "no environment": f"env -i sh -c 'sleep {NAP_S}' MARK &",
    "another name": f"(exec -a kworker/0:1 sleep {NAP_S}) &",
    "stops itself": f"sh -c 'kill -STOP $$; sleep {NAP_S}' MARK &",
    "stopped session": f"setsid sh -c 'trap \"\" TERM; kill -STOP $$; sleep {NAP_S}' MARK &",
    "rises again": f"sh -c 'trap \"\" TERM; while :; do sleep {NAP_S}; done' MARK &",
    "twenty": f"for i in $(seq 20); do sh -c 'trap \"\" TERM; sleep {NAP_S}' MARK & done",
    "forks on and on": 'f() { sleep 0.1; case "$1" in MARKxxxxx) exec sleep 300;; esac; f "$1x" & f "$1x" & wait; }; f MARK &',
    "a coprocess": f"coproc {{ sleep {NAP_S}; }}",
    "a substitution": f"exec 7< <(sleep {NAP_S})",
}

HOWS = ("stopped", "ended", "orphaned")


@dataclass(frozen=True)
class Script:
    """`tricks` in the order in which they are played."""

    number: int
    how: str
    tricks: tuple[str, ...]
    deaf: bool

    @property
    def name(self) -> str:
        return f"{self.number}: {', '.join(self.tricks)}{', itself deaf' if self.deaf else ''}; {self.how}"

    def source(self, marker: str) -> str:
        """Return the script; the first thing it does is to open a file that all its children inherit."""
        lines = [": MARK", "exec 9>>held", *(TRICKS[trick] for trick in self.tricks)]
        if self.deaf:
            lines.insert(0, "trap '' TERM INT HUP")
        lines.append("sleep 0.4; exit 0" if self.how == "ended" else f"sleep {NAP_S}; sleep {NAP_S}; wait")
        return "\n".join(lines).replace("MARK", marker)


def draw(count: int, seed: int) -> list[Script]:
    """Return scripts in which each trick comes before any comes twice."""
    chance = random.Random(seed)
    deck: list[str] = []
    scripts = []
    for number in range(1, count + 1):
        tricks: list[str] = []
        for _ in range(chance.choice((1, 2, 2, 3))):
            if not deck:
                deck = chance.sample(list(TRICKS), len(TRICKS))
            tricks.append(deck.pop())
        scripts.append(Script(number, HOWS[number % len(HOWS)], tuple(tricks), chance.random() < 0.3))
    return scripts


@dataclass
class Outcome:
    """`gone_s`: after how long (from the order to end, or the end of the script) nothing was left; None: something was."""

    script: Script
    processes: int
    gone_s: float | None
    left: list[str]


async def run(folder: Path, count: int, report: Report) -> Report:
    """Play so many scripts, a few at a time, and fill the report in."""
    room, guard = asyncio.Semaphore(AT_ONCE), Guard()

    async def one(script: Script) -> Outcome:
        place = folder / f"script-{script.number}"
        place.mkdir(parents=True, exist_ok=True)
        async with room:
            return await _play(script, guard, place, f"mark-{report.seed}-{script.number}-")

    try:
        # Every script to its end, also when another one went wrong: what is started after the guard was closed would stay.
        plays = [asyncio.create_task(one(script)) for script in draw(count, report.seed)]
        await asyncio.wait(plays)
        outcomes = [play.result() for play in plays]
    finally:
        guard.close()
    left = [outcome for outcome in outcomes if outcome.left]
    times = [outcome.gone_s for outcome in outcomes if outcome.gone_s is not None]
    report.figures = {
        "scripts": len(outcomes),
        "tricks": len({trick for outcome in outcomes for trick in outcome.script.tricks}),
        "processes at the moment of the order": sum(outcome.processes for outcome in outcomes),
        "survivors": sum(len(outcome.left) for outcome in outcomes),
        "gone after, s (median, worst)": [round(percentile(times, 50) or 0, 2), round(max(times, default=0), 2)],
        **{how: sum(outcome.script.how == how for outcome in outcomes) for how in HOWS},
    }
    report.violations = [f"{outcome.script.name}: {text}" for outcome in left for text in outcome.left]
    report.goals[f"nothing survives {GRACE_S:g} s of grace and {AFTER_S:g} s"] = not left
    return report


async def _play(script: Script, guard: Guard, folder: Path, marker: str) -> Outcome:
    source = script.source(marker)
    if script.how == "orphaned":
        return await _orphan(script, source, folder, marker)
    env = {"PATH": os.environ["PATH"], "TREE_MARKER": marker}
    child = guard.start(["/bin/bash", "-c", source], env=env, cwd=folder, receive=lambda stream, data: None)
    await _until(lambda: (folder / "held").exists(), BORN_S)
    await asyncio.sleep(0.2 if script.how == "ended" else SETTLE_S)
    there = len(found(marker, folder))
    begun = time.monotonic()
    if script.how == "stopped":
        child.stop(GRACE_S)
    else:
        begun += 0.2  # what is left of the script
    outcome = await _gone(script, folder, marker, begun, there)
    await child.wait()
    return outcome


async def _orphan(script: Script, source: str, folder: Path, marker: str) -> Outcome:
    """Have a worker of its own play the script, and kill it."""
    (folder / "source").write_text(source)
    paths = os.pathsep.join(str(path) for path in (ROOT, ROOT / "services" / "worker"))
    worker = subprocess.Popen(  # noqa: ASYNC220  it does not block
        [sys.executable, "-c", _WORKER, str(folder / "source")],
        cwd=folder.parent,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": paths, "TREE_MARKER": marker},
        stdin=subprocess.DEVNULL,
    )
    try:
        await _until(lambda: (folder / "held").exists(), BORN_S)
        await asyncio.sleep(SETTLE_S)
        there = len(found(marker, folder))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        return await _gone(script, folder, marker, time.monotonic(), there)
    finally:
        worker.kill()
        worker.wait()


async def _gone(script: Script, folder: Path, marker: str, begun: float, there: int) -> Outcome:
    """Wait until nothing is left, for as long as it may take; end what is left then, for the sake of this machine."""
    deadline = begun + GRACE_S + AFTER_S
    while True:
        left = found(marker, folder)
        if not left:
            return Outcome(script, there, max(time.monotonic() - begun, 0.0), [])
        if time.monotonic() > deadline:
            for pid in left:
                _kill(pid)
            return Outcome(script, there, None, list(left.values()))
        await asyncio.sleep(0.02)


def found(marker: str, folder: Path) -> dict[int, str]:
    """Return the living processes of a script, with what they call themselves."""
    living: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            line, environ = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            state = (process / "stat").read_bytes().rpartition(b")")[2].split()[0]
            place = Path(os.readlink(process / "cwd"))
            belongs = marker.encode() in line + environ or place == folder or _holds(process, folder / "held")
        except OSError:
            continue  # it ended while it was looked at
        if belongs and state not in (b"Z", b"X") and str(folder / "source").encode() not in line:
            living[int(process.name)] = (
                f"process {process.name}: {line.replace(bytes(1), b' ').decode(errors='replace')[:120]}"
            )
    return living


def _holds(process: Path, file: Path) -> bool:
    return any(os.readlink(entry) == str(file) for entry in (process / "fd").iterdir())


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it was faster


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  other processes are watched
            await asyncio.sleep(0.02)


_WORKER = """
import asyncio, os, sys
from pathlib import Path
from levada_worker.process.guarded import Guard

async def main():
    source, guard = Path(sys.argv[1]), Guard()
    env = {name: os.environ[name] for name in ("PATH", "TREE_MARKER")}
    guard.start(["/bin/bash", "-c", source.read_text()], env=env, cwd=source.parent, receive=lambda stream, data: None)
    await asyncio.sleep(600)

asyncio.run(main())
"""
