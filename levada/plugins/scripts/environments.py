"""Python environments: one per set of dependencies and Python version, made by uv once and used by every task after.

An environment is keyed by a digest of what was asked for, so it is never changed, only made; a lock file keeps two tasks
(also of two workers on one machine) from making the same one, and a marker written last tells a finished one from a torn
one. Scripts never see the packages of the worker itself.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from levada.model.errors import UserError
from levada.sdk import RunContext

MARKER = ".levada-ready"
LOCK_POLL_S = 0.1
#: What the package manager may see of the worker's environment: where packages come from, and how to get there.
PASSED_PREFIXES = ("UV_", "PIP_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT", "REQUESTS_CA")


class Wanted(msgspec.Struct, frozen=True):
    """What an environment must have. `version` None: the Python that runs the worker."""

    dependencies: tuple[str, ...]
    version: str | None
    manager: str

    @property
    def key(self) -> str:
        """The digest of everything that makes a difference."""
        parts = [sorted(set(self.dependencies)), self.version or platform.python_version(), self.manager, sys.platform]
        return hashlib.sha256(json.dumps([*parts, platform.machine()]).encode()).hexdigest()[:32]


async def ready(ctx: RunContext, wanted: Wanted, *, cached: bool) -> Path:
    """Return the `bin` folder of an environment that has what is wanted. Raises UserError when it cannot be made."""
    folder = (ctx.cache_dir / "python" / wanted.key) if cached else ctx.working_dir / ".venv"
    if cached and is_ready(folder):
        return folder / "bin"
    folder.parent.mkdir(parents=True, exist_ok=True)
    async with _locked(folder.with_suffix(".lock")):
        if not is_ready(folder):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            await _make(ctx, folder, wanted)
            (folder / MARKER).touch()
    return folder / "bin"


def is_ready(folder: Path) -> bool:
    return (folder / MARKER).exists()


async def _make(ctx: RunContext, folder: Path, wanted: Wanted) -> None:
    started = ctx.now_us()
    for dependency in wanted.dependencies:
        if dependency.startswith("-"):
            raise UserError(f"property `dependencies`: `{dependency}` is an option, not a package")
    uv = _uv()
    version = wanted.version or str(getattr(sys, "_base_executable", sys.executable))
    seed = ["--seed"] if wanted.manager == "PIP" else []
    await _run(ctx, [uv, "venv", "--quiet", *seed, "--python", version, str(folder)], f"Python {wanted.version or ''}")
    if wanted.dependencies:
        ctx.log("INFO", f"installing {', '.join(wanted.dependencies)} (kept for the next runs)")
        python = str(folder / "bin" / "python")
        if wanted.manager == "PIP":
            command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        else:
            command = [uv, "pip", "install", "--quiet", "--python", python]
        await _run(ctx, [*command, "--", *wanted.dependencies], "the dependencies")
    ctx.timer("python.environment.duration", (ctx.now_us() - started) / 1000)


async def _run(ctx: RunContext, argv: Sequence[str], what: str) -> None:
    result = await ctx.run_process(argv, env=_installer_environment())
    if result.exit_code != 0:
        raise UserError(
            f"{what.strip()} could not be installed: {os.path.basename(argv[0])} ended with {result.exit_code}"
        )


def _installer_environment() -> dict[str, str]:
    """The home of the worker's user has the settings of the package manager."""
    env = {name: value for name, value in os.environ.items() if name.upper().startswith(PASSED_PREFIXES)}
    return {**env, "HOME": os.path.expanduser("~")}


def _uv() -> str:
    find: Any = __import__("uv").find_uv_bin
    return str(find())


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold the lock file; waiting for it can be cancelled."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(handle)
