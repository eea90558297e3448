"""One service process of a local cluster: started, asked whether it is ready, killed, frozen, started again.

The process gets a session of its own, so that Ctrl-C in the terminal reaches only the launcher, which stops services in
order. It dies with the launcher all the same, however that ends: on Linux the kernel is asked to kill it when its parent
goes. The kernel means the parent *thread*, so processes are started from a thread that lives as long as the cluster: the
one of the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import aiohttp

from levada.cli.failures import CannotStart

LEVADA = (sys.executable, "-m", "levada")
PR_SET_PDEATHSIG = 1
LOG_TAIL_BYTES = 3000
ASK_TIMEOUT_S = 2.0
POLL_S = 0.05


@dataclass(slots=True)
class Started:
    """One life of a process."""

    pid: int
    at: float
    """Monotonic seconds of the event loop."""


@dataclass(slots=True)
class Process:
    """One service process; it keeps name, ports, folder and settings over its lives."""

    name: str
    service: str
    folder: Path
    port: int
    management_port: int
    env: dict[str, str]
    prefix: tuple[str, ...] = ()
    """What stands before its command."""

    lives: list[Started] = field(default_factory=list)
    _child: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.management_port}"

    @property
    def ports(self) -> tuple[int, int]:
        """Service and management port."""
        return self.port, self.management_port

    @property
    def log(self) -> Path:
        """What all lives of it printed."""
        return self.folder / "log"

    @property
    def pid(self) -> int | None:
        """The process id, also of a frozen process; None when it does not run."""
        return self._child.pid if self.alive and self._child is not None else None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.returncode is None

    @property
    def exit_code(self) -> int | None:
        """How the last life ended, negative for a signal; None while it runs."""
        return None if self._child is None else self._child.returncode

    async def start(self, more: Mapping[str, str] | None = None) -> None:
        """Start a life and do not wait for readiness; `more` settings count for this life only."""
        if self.alive:
            raise CannotStart(f"{self.name} runs already, process {self.pid}")
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._child = await launch(
                [*self.prefix, *LEVADA, "serve", self.service],
                env={**self.env, **(more or {})},
                folder=self.folder,
                output=output,
            )
        self.lives.append(Started(self._child.pid, asyncio.get_running_loop().time()))

    def signal(self, number: int) -> None:
        """Send a signal; a process that has ended gets none."""
        if self.alive and self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)

    async def wait(self) -> int:
        """Wait for the end of this life and return the exit code."""
        assert self._child is not None, f"{self.name} was never started"
        return await self._child.wait()

    async def end(self, grace_s: float) -> int | None:
        """Ask it to end, then kill it; return the exit code, None when it never ran."""
        if self._child is None:
            return None
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a frozen process does not hear the first one
        try:
            async with asyncio.timeout(grace_s):
                return await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait()

    async def ready(self, session: aiohttp.ClientSession) -> bool:
        """Whether it says that it can do its work."""
        return self.alive and (await self.readiness(session))[0]

    async def readiness(self, session: aiohttp.ClientSession) -> tuple[bool, str]:
        """Return whether it is ready, and what it says about it."""
        url = f"{self.management_url}/health/readiness"
        try:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)) as answer:
                return answer.status == 200, await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return False, f"{url} does not answer: {error or type(error).__name__}"

    async def until_ready(self, session: aiohttp.ClientSession, seconds: float) -> float:
        """Return after how many seconds it was ready. Raises CannotStart with the end of its log."""
        loop = asyncio.get_running_loop()
        begun, said = loop.time(), ""
        while loop.time() - begun < seconds:
            if not self.alive:
                raise CannotStart(f"{self.name} ended with exit code {self.exit_code}; {self.last_words()}")
            ready, said = await self.readiness(session)
            if ready:
                return loop.time() - begun
            await asyncio.sleep(POLL_S)
        raise CannotStart(f"{self.name} is not ready after {seconds:.0f} s: {said}; {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of its log, with the place of the whole."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES, 0))
                text = log.read().decode(errors="replace").strip()
        except FileNotFoundError:
            text = ""
        return f"its log {self.log} ends:\n{text}"

    def rss_mib(self) -> float | None:
        """Return its resident memory; None when it does not run or this is no Linux."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def children(self) -> int:
        """Return how many processes it has started that still run; 0 where nobody can tell."""
        try:
            return len(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())
        except OSError:
            return 0

    def cpu_s(self) -> float | None:
        """Return the processor time of this life, without that of its children; None as above."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def launch(
    command: Sequence[str], *, env: Mapping[str, str], folder: Path, output: IO[bytes]
) -> asyncio.subprocess.Process:
    """Start a command in a folder, both streams going to `output`; it dies with us."""
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_dies_with_parent(),
    )


def _dies_with_parent() -> Callable[[], None] | None:
    """Return what the child calls before it becomes `levada`; None where the kernel has no such thing.

    Everything it needs is looked up here: between fork and exec no lock may be waited for.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent, kill = ctypes.CDLL(None, use_errno=True).prctl, os.getpid(), int(signal.SIGKILL)

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, kill, 0, 0, 0)
        if os.getppid() != parent:  # it died before it was asked
            os._exit(1)

    return ask
