"""Hosts of their own for processes of a test: Linux network namespaces around a router that can be told to lose packets.

    with Network(["a", "b"]) as network:
        Popen([*network.prefix("a"), "server"])     # network.address("a"), reachable from b and from here
        network.cut("a", "b")                       # both ways, silently
        network.cut("b", OUTSIDE, back=False)       # what b sends here is lost, what we send arrives
        network.heal()

Every host is connected to the router only, and so are we (`OUTSIDE`); the router forwards by rules, and a rule that leads
into a black hole drops what it matches without a word, which no process can tell from a cable that was pulled. This needs
neither iptables nor tc, but root and the program `ip`: `unavailable()` says what is missing.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

OUTSIDE = "outside"
ROUTER = "router"
FORWARDING = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter"
END_S = 5.0


class Network:
    """Made by `open`, gone with `close`, the processes in it too."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = [*names, OUTSIDE]
        self._mark = f"lv{os.getpid():x}"
        # One network of 16 bits per process of a test run, out of those for private use.
        self._net = f"10.{128 + os.getpid() % 100}"
        self._rules: list[tuple[str, str]] = []

    def address(self, name: str) -> str:
        """Return the address of a host."""
        return f"{self._net}.{self.names.index(name) + 1}.2"

    def prefix(self, name: str) -> tuple[str, ...]:
        """Return what stands before a command that shall run on this host."""
        return ("ip", "netns", "exec", self._namespace(name)) if name != OUTSIDE else ()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def open(self) -> None:
        """Make the hosts. Raises RuntimeError with what `ip` says; then nothing is left."""
        try:
            _ip(f"netns add {self._namespace(ROUTER)}")
            _run("ip", "netns", "exec", self._namespace(ROUTER), "sh", "-c", FORWARDING)
            for number, name in enumerate(self.names, 1):
                self._connect(name, number)
        except BaseException:
            self.close()
            raise

    def _connect(self, name: str, number: int) -> None:
        """Make one host with a cable to the router."""
        router, net = self._namespace(ROUTER), f"{self._net}.{number}"
        here, there = f"{self._mark}h{number}", f"{self._mark}r{number}"
        into = "" if name == OUTSIDE else f"-n {self._namespace(name)} "
        if name != OUTSIDE:
            _ip(f"netns add {self._namespace(name)}", f"{into}link set lo up")
        _ip(
            f"link add {here} type veth peer name {there} netns {router}",
            *([] if name == OUTSIDE else [f"link set {here} netns {self._namespace(name)}"]),
            f"{into}addr add {net}.2/24 dev {here}",
            f"{into}link set {here} up",
            f"-n {router} addr add {net}.1/24 dev {there}",
            f"-n {router} link set {there} up",
            f"{into}route add {self._net}.0.0/16 via {net}.1",
        )

    def close(self) -> None:
        """End what still runs on the hosts, and the hosts."""
        known = _run("ip", "netns", "list").split()
        for name in (*self.names[:-1], ROUTER):
            namespace = self._namespace(name)
            if namespace not in known:
                continue
            deadline = time.monotonic() + END_S
            while (left := _run("ip", "netns", "pids", namespace).split()) and time.monotonic() < deadline:
                for pid in left:
                    _kill(int(pid))
                time.sleep(0.02)
            _ip(f"netns del {namespace}")
        self._rules.clear()

    # -- faults ----------------------------------------------------------------------------------------------------
    def cut(self, one: str, other: str, *, back: bool = True) -> None:
        """Lose what `one` sends to `other`, and the other way round unless `back` is off."""
        for pair in ((one, other), *([(other, one)] if back else [])):
            if pair not in self._rules:
                self._rule("add", *pair)
                self._rules.append(pair)

    def isolate(self, name: str) -> None:
        """Cut a host off from all others."""
        for other in self.names:
            if other != name:
                self.cut(name, other)

    def heal(self) -> None:
        """Forward everything again."""
        while self._rules:
            self._rule("del", *self._rules.pop())

    def _rule(self, what: str, source: str, target: str) -> None:
        route = f"from {self.address(source)} to {self.address(target)} blackhole"
        _ip(f"-n {self._namespace(ROUTER)} rule {what} {route}")

    def _namespace(self, name: str) -> str:
        return f"{self._mark}-{name}"


@functools.cache
def unavailable() -> str | None:
    """Return why there can be no network namespaces here; None when there can."""
    if shutil.which("ip") is None:
        return "network namespaces need the program `ip` (iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        with Network(["probe"]) as network:
            network.cut("probe", OUTSIDE)
    except RuntimeError as error:
        return f"network namespaces are not allowed here: {error}"
    return None


def _ip(*commands: str) -> None:
    for command in commands:
        _run("ip", *command.split())


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}`: {done.stderr.strip()}")
    return done.stdout


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
