"""A worker in a process of its own: it knows the gateways and nothing else of the platform, above all no database.

It may start before any gateway answers, and outlive all of them: it is then not ready, says why, keeps trying, and its
tasks go on as long as their leases last. SIGTERM: no more claims, unready; running tasks may finish within the grace; what
is left is ended and given back, so that another worker runs it. No task fails because its worker stops.
"""

import asyncio
import ctypes
import fcntl
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec

from levada.model.errors import Transient, UserError
from levada.model.jobs import Claim, Held
from levada.plugins import discover
from levada.runtime import logs, management, metrics, wire
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config, Loaded, is_loopback, load
from levada.runtime.health import Health
from levada.runtime.lifecycle import Backoff, Lifecycle, pause, run_process
from levada.runtime.observation import observed
from levada.runtime.surroundings import agree
from levada.sdk import shared
from levada_worker import presence
from levada_worker.config import configured, named
from levada_worker.folders import temporary
from levada_worker.gateway.connection import Gateways
from levada_worker.gateway.files import HttpFiles
from levada_worker.gateway.jobs import Claims, HttpJobs
from levada_worker.gateway.services import HttpServices
from levada_worker.gateway.sink import HttpSink
from levada_worker.worker import Worker

log = logging.getLogger("levada.worker")

CANNOT_START = 3
CONNECTING = Backoff(first_s=0.2, longest_s=5.0)


PR_SET_DUMPABLE = 4


def main() -> None:
    """Run a worker as this process, until it is told to stop. Exits with 3 and the remedy when it cannot start."""
    _hide_environment()
    try:
        loaded = load()
        urls = gateway_urls(loaded.config)
        config = loaded.config
        lock = _alone(Path(config.data_dir).resolve() / "worker", named(config))
    except UserError as error:
        _refuse(str(error))
    try:
        run_process(lambda: _serve(loaded, urls))
    except _CannotListen as error:
        _refuse(str(error))
    finally:
        os.close(lock)


def _hide_environment() -> None:
    """Keep tasks, which run as the same user, from reading the workers' token out of /proc. Does nothing but on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"the worker cannot start: {why}\n")
    sys.exit(CANNOT_START)


def gateway_urls(config: Config) -> list[str]:
    """Return where the gateways are. Raises UserError, naming what to set."""
    given = list(config.worker.gateway_url)
    if not given:
        raise UserError(
            "a worker in a process of its own needs the address of the api service: set worker.gateway_url "
            "(LEVADA_WORKER_GATEWAY_URL), for example http://levada-api:8080; several addresses are separated by commas"
        )
    elsewhere = [url for url in given if not is_loopback(urlsplit(url).hostname or "")]
    if elsewhere and not config.worker.token:
        raise UserError(
            f"the gateway at {elsewhere[0]} wants a token: set worker.token (LEVADA_WORKER_TOKEN) to the same text on "
            "api and workers"
        )
    return given


def _alone(folder: Path, name: str) -> int:
    """Take the data folder for this process; return the lock. Raises UserError when another worker has it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise UserError(
            f"another worker named {name} uses {folder}: give this one a data folder of its own (data_dir, "
            "LEVADA_DATA_DIR)"
        ) from error
    return handle


async def _serve(loaded: Loaded, urls: list[str]) -> None:
    config = loaded.config
    logs.configure(config.log.format, config.log.level, config.log.levels, service="worker")
    clock = SystemClock()
    health = Health(clock)
    listening = await _listen(config, health)
    stop = asyncio.Event()

    async def stopping() -> None:
        stop.set()

    gateways = Gateways(urls, config.worker.token, clock, worker=named(config))
    health.register("gateway", gateways.check)
    try:
        lifecycle = Lifecycle(clock, config.server.shutdown_grace, on_stopping=health.drain)
        with observed(config, clock, "worker", lifecycle):
            lifecycle.add("worker", lambda: _work(loaded, gateways, clock, health, stop), stop=stopping)
            await lifecycle.run()
    finally:
        await gateways.close()
        await listening.close()


class _CannotListen(UserError):
    """The management port is taken."""


async def _listen(config: Config, health: Health) -> management.Listening:
    try:
        listening = await management.serve(config, health)
    except OSError as error:
        raise _CannotListen(
            f"cannot listen on {config.host}:{config.management_port} for health and metrics: "
            f"{error.strerror or error}; stop what listens there, or set management_port"
        ) from error
    log.info("health and metrics are at %s", listening.url)
    return listening


async def _work(loaded: Loaded, gateways: Gateways, clock: SystemClock, health: Health, stop: asyncio.Event) -> None:
    """Wait for a gateway, then run tasks until `stop`."""
    config = loaded.config
    name = named(config)
    ahead = _Ahead()
    health.register("clock", ahead.check)

    async def hello(info: Mapping[str, Any]) -> wire.Welcome:
        asked = clock.now_us()
        welcome: wire.Welcome = await gateways.ask("/hello", wire.Hello(worker=name, info=dict(info)), wire.Welcome)
        ahead.heard(asked, clock.now_us(), welcome.now)
        return welcome

    welcome = await _welcomed(hello, clock, stop)
    if welcome is None:
        return
    base = await _temporary(config.worker.temp_dir)
    claims = Claims()
    worker = Worker(
        HttpJobs(gateways, claims, lease_s=welcome.lease_s),
        lambda claim: HttpServices(gateways, _held(claim), HttpFiles(gateways, _held(claim))),
        lambda claim: HttpFiles(gateways, _held(claim)),
        discover(),
        clock,
        configured(config, base, lease_s=welcome.lease_s),
        HttpSink(gateways, claims),
        encryption_key=loaded.encryption_key,
    )

    health.register("disk", worker.space.check)

    async def still_here(info: Mapping[str, Any]) -> None:
        lease_s = (await hello(info)).lease_s
        if lease_s != worker.config.lease_s:
            log.warning("the gateway now wants leases of %g s; they were %g s", lease_s, worker.config.lease_s)
            worker.config = msgspec.structs.replace(worker.config, lease_s=lease_s)

    log.info("worker %s serves %s with %d slots", name, ", ".join(worker.config.queues), worker.config.slots)
    beating = asyncio.create_task(presence.beat(worker, still_here), name="worker-presence")
    try:
        await worker.run(stop)
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await presence.leave(lambda: gateways.ask("/goodbye", wire.Hello(worker=name), None))
        await shared.close_all()
        shutil.rmtree(base, ignore_errors=True)


class _Ahead:
    """How far our clock is ahead of the gateways', as of the last time one said what time it is."""

    def __init__(self) -> None:
        self._skew_s = 0.0

    def heard(self, asked: int, answered: int, theirs: int) -> None:
        """Epoch microseconds: when we asked and had the answer by our clock, and what theirs was between; 0 unknown."""
        if theirs:
            self._skew_s = (asked + (answered - asked) / 2 - theirs) / 1_000_000
            metrics.CLOCK_SKEW.set(self._skew_s)

    async def check(self) -> Mapping[str, Any]:
        """Health check: tasks get their times from this clock, and people compare them with others'."""
        agree(self._skew_s, "the gateway's")
        return {"clockSkewSeconds": round(self._skew_s, 3)}


async def _temporary(parent: Path | None) -> Path:
    """Make the folder of the working directories. Raises Transient when that can not be done now."""
    try:
        return await asyncio.to_thread(temporary, parent)
    except OSError as error:
        raise Transient(
            f"the working directories can not be made in {parent or 'the folder for temporary files'}: "
            f"{error.strerror or error}; free some space there, or set worker.temp_dir to another disk"
        ) from error


async def _welcomed(hello: presence.Say, clock: SystemClock, stop: asyncio.Event) -> wire.Welcome | None:
    """Say hello until a gateway answers; None when told to stop before."""
    failures = 0
    while not stop.is_set():
        try:
            welcome = await hello({})
        except Transient:  # the gateways' own log line has said it
            failures += 1
            await pause(stop, CONNECTING.pause_s(failures, clock.random()))
        else:
            assert isinstance(welcome, wire.Welcome)
            return welcome
    return None


def _held(claim: Claim) -> Held:
    job = claim.job
    return Held(job.execution_id, job.task_run_id, job.attempt, claim.token)
