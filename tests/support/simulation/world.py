"""One simulated installation: executors that share the partitions, workers, an api, users who start, kill and restart
executions, gremlins who break things, and at the end a quiet time in which everything has to come to rest.

The seed draws whether the bus is as durable as the tables (the embedded one), or a log of its own that may lose and repeat
what it holds (Kafka): then commands are accepted in the table `ingress` first.

    world = World(seed); world.run(); world.violations    # what the oracle found, empty when all is well
"""

from __future__ import annotations

import asyncio
import functools
import gc
import hashlib
import logging
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Any

from levada import engine
from levada.bus.memory import MemoryBus
from levada.bus.port import COMMANDS, Outgoing, PositionLost, partition_of
from levada.engine import outputs
from levada.files.memory import MemoryFiles
from levada.flowfile.cache import FlowCache
from levada.jobs.memory import MemoryJobs
from levada.model import commands as cmd
from levada.model.errors import Transient
from levada.model.states import State
from levada.plugins import discover
from levada.runtime.accepting import AcceptedCommands
from levada.runtime.clock import new_id
from levada.runtime.commands import BusCommands
from levada.runtime.partitions import Partitions
from levada.sdk.registry import Registry
from levada.sdk.testing import MemoryKv, MemoryNamespaceFiles, MemorySecrets, ScriptedControl
from levada.store import encoding, memory
from levada.store.port import Accepted, Commit, FlowRow
from levada_executor.executor import Executor
from levada_executor.main import _leave, _supervised
from levada_executor.reconcile import Reconciler
from levada_executor.timers import LeaseLoop, TimerLoop
from levada_worker.config import WorkerConfig
from levada_worker.worker import Worker
from simulation import gremlins, oracle, users
from simulation.api import Api
from simulation.faults import CALM, Climate, draw_climate
from simulation.ledger import Ledger, Work
from simulation.loop import Process, VirtualLoop
from simulation.ports import (
    JobCommands,
    Line,
    SimBus,
    SimClock,
    SimFlows,
    SimIngress,
    SimJobs,
    SimMembers,
    SimSink,
    SimStore,
)
from simulation.workload import NAMESPACE, draw_flows

EPOCH_US = 1_750_000_000_000_000
LEASE_S = 6.0
EXECUTOR_LEASE_S = 2.0
KILL_DEADLINE_S = 12.0
PARTITIONS = 3
STORM_S = 20.0
"""How long users and faults are at work."""
PATIENCE_S = 3600.0
"""How long everything may take to come to rest afterwards, in virtual time."""

#: Commands whose repeats may come at any time: they carry a natural key. What people ask for may only repeat at once,
#: unless the table `ingress` says what was applied.
REPEATABLE = (
    cmd.StartExecution,
    cmd.TaskStarted,
    cmd.TaskFinished,
    cmd.WorkerLost,
    cmd.SubflowEnded,
    cmd.TimerFired,
    cmd.AdmitExecution,
)

_registry: list[Registry] = []


def registry() -> Registry:
    if not _registry:
        found = discover()
        _registry.append(Registry([*found.all(), Work], known=found.known))
    return _registry[0]


class Silent:
    """The hub: nobody listens."""

    def announce(self, execution_id: str, state: State, terminal: bool) -> None:
        return None


class Services:
    def __init__(self, now_us: Callable[[], int]) -> None:
        self.kv = MemoryKv(now_us)
        self.secrets = MemorySecrets({})
        self.namespace_files = MemoryNamespaceFiles()
        self.control = ScriptedControl()


class World:
    def __init__(self, seed: int, *, climate: Climate | None = None, keep_trace: bool = False) -> None:
        """`climate` overrules the one that the seed draws."""
        self.seed = seed
        self.patience_s = PATIENCE_S
        self.chance = random.Random(seed)
        drawn = draw_climate(self.chance)
        self.climate = climate if climate is not None else drawn
        self.storm = self.climate
        self.planned = draw_flows(self.chance)
        self.loop = VirtualLoop()
        self.ledger = self.loop.ledger = Ledger(seed)  # type: ignore[attr-defined]
        self.loop.world = self  # type: ignore[attr-defined]
        self.registry = registry()
        self.tables = memory.Tables()
        self.clock = SimClock(self)
        #: Whether the bus is a log of its own, apart from the tables.
        self.apart = self.chance.random() < 0.5 if self.climate.apart is None else self.climate.apart
        self.store = memory.MemoryExecutionStore(
            self.tables,
            now_us=self.now_us,
            index=outputs.rebuild,
            ingress_partitions=PARTITIONS if self.apart else None,
        )
        self.members = memory.MemoryMembers(self.tables, now_us=self.now_us)
        self.ingress = memory.MemoryIngress(self.tables)
        self.flows = memory.MemoryFlowStore(self.tables)
        self.queries = memory.MemoryExecutionQueries(self.tables)
        self.bus = MemoryBus(partitions=PARTITIONS, monotonic=self.loop.time, sleep=asyncio.sleep)
        self.jobs = MemoryJobs(self.tables.leases, JobCommands(self), self.clock, lease_s=LEASE_S)
        self.services = Services(self.now_us)
        self.flow_cache = FlowCache(self.flows, self.registry, latest_s=0.0)
        self.processes: list[Process] = []
        self.executors: list[Process] = []
        self.workers: dict[str, Process] = {}
        self.spools: dict[str, bytes] = {}
        #: Executions whose start was acknowledged, with what the user asked of them.
        self.acknowledged: list[str] = []
        self.violations: list[str] = []
        self.quiet = False
        self.over = False
        self.watch = oracle.Watch(self)
        self._stops: dict[Process, asyncio.Event] = {}
        self._senders: dict[Process, BusCommands | AcceptedCommands] = {}
        #: How many executors there should be.
        self.wanted = 0
        self._background: set[asyncio.Task[Any]] = set()
        self._digest = hashlib.sha256()
        self._kept: list[str] | None = [] if keep_trace else None
        self._folder: Path | None = None
        self._lives = 0
        self._outside = copy_context()

    # -- what happened ---------------------------------------------------------------------------------------------
    def now_us(self) -> int:
        return EPOCH_US + int(self.loop.time() * 1_000_000)

    def trace(self, who: str, what: str, detail: str = "") -> None:
        line = f"{self.loop.time():9.4f} {who:12} {what} {detail}"
        self._digest.update(line.encode())
        if self._kept is not None:
            self._kept.append(line)

    @property
    def lines(self) -> list[str]:
        return self._kept or []

    @property
    def digest(self) -> str:
        """A hash over everything that was observed: equal for equal seeds."""
        return self._digest.hexdigest()

    def broken(self, text: str) -> None:
        self.trace("oracle", "VIOLATION", text)
        self.violations.append(text)

    def committed(self, process: Process, commit: Commit) -> None:
        done = " ".join(
            f"{write.execution.id[-6:]}@{write.execution.seq}={write.execution.state}" for write in commit.writes
        )
        self.trace(process.name, "commit", done)
        self.watch.committed(commit)

    def claimed(self, process: Process, commands: Sequence[cmd.Command]) -> None:
        self.watch.claimed(process, commands)

    def accepted(self, process: Process, rows: Sequence[Accepted]) -> None:
        for row in rows:
            self.trace(process.name, "accept", f"{row.id} {row.body.decode()[:200]}")
        self.watch.asked_for([row.body for row in rows])

    async def append(self, who: str, records: Sequence[Outgoing]) -> None:
        """Put records on the bus, some of them twice: at once, or much later."""
        self.watch.asked_for([record.body for record in records])
        await self._put(who, records)
        repeats = [record for record in records if self._may_repeat(record)]
        if self.chance.random() < self.climate.duplicate:
            await self._put("again", repeats)
        if self.chance.random() < self.climate.duplicate:
            self.later(self.chance.random() * 10, lambda: self._put("late", repeats))

    def _may_repeat(self, record: Outgoing) -> bool:
        return bool(self.apart and record.id) or isinstance(cmd.decode(record.body), REPEATABLE)

    async def _put(self, who: str, records: Sequence[Outgoing]) -> None:
        for record in records:
            self.trace(who, "append", f"{partition_of(record.key, PARTITIONS)} {record.body.decode()[:200]}")
        await self.bus.append(records)

    def check_positions(self, topic: str, positions: Mapping[int, int]) -> None:
        """Raise PositionLost where a log does not reach to what is asked for."""
        for part, position in sorted(positions.items()):
            end = len(self.bus._logs.get((topic, part), []))
            if position > end:
                raise PositionLost(topic, part, position, 0, end)

    def wipe_bus(self) -> None:
        """The log is gone, with everything in it."""
        self.trace("world", "wiped", f"{sum(map(len, self.bus._logs.values()))} records")
        self.bus._logs.clear()

    def unread(self) -> dict[int, int]:
        """Return how many records of each partition are not applied."""
        return {
            part: len(self.bus._logs.get((COMMANDS, part), [])) - owner.done_off
            for part, owner in sorted(self.tables.owners.items())
        }

    def later(self, seconds: float, act: Callable[[], Awaitable[Any]]) -> None:
        """Do something after a while, outside of every process."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            await act()

        self._keep(asyncio.Task(wait(), loop=self.loop, context=self._outside))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # -- a run -----------------------------------------------------------------------------------------------------
    def run(self) -> list[str]:
        """Play the seed to its end; return what is wrong."""
        self._outside = copy_context()
        base = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
        self._folder = Path(tempfile.mkdtemp(prefix="simflow-", dir=base))
        quiet = _Quiet()
        self.loop.set_exception_handler(self._unhandled)
        collects = gc.isenabled()
        _keep_program()
        gc.disable()  # a world is small and short: looking for garbage in it takes a fifth of its time
        try:
            self.loop.run_until_complete(self._live())
            self.loop.run_until_complete(self._end())
        finally:
            if collects:
                gc.enable()
            quiet.over()
            self.loop.close()
            shutil.rmtree(self._folder, ignore_errors=True)
        return self.violations

    async def _live(self) -> None:
        await self._save_flows()
        self.api = Api(self)
        self.wanted = self.chance.randint(1, 3)
        for _ in range(self.wanted):
            self.start_executor()
        for n in range(self.chance.randint(1, 3)):
            self.start_worker(f"worker{n}")
        busy = [asyncio.create_task(part) for part in (*users.parts(self), gremlins.play(self))]
        await asyncio.sleep(STORM_S)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        await self._calm_down()
        await self._rest()
        await oracle.judge(self)

    async def _save_flows(self) -> None:
        for planned in self.planned:
            row = FlowRow(namespace=NAMESPACE, id=planned.id, revision=1, source=planned.source, updated=self.now_us())
            await self.flows.save(row)

    async def _calm_down(self) -> None:
        """Faults stop; whoever was frozen wakes; executors and workers stay; people resume what they paused."""
        self.trace("world", "calm")
        self.climate, self.quiet = CALM, True
        for process in self.processes:
            process.cut_until = 0.0
            process.thaw()
        self.wanted = self.chance.randint(1, 3)
        for process in [process for process in self.executors if not process.dead][self.wanted :]:
            await self.stop(process)
        await self.executors_wanted()
        for name, process in list(self.workers.items()):
            if process.dead:
                self.start_worker(name)
        self._keep(asyncio.create_task(users.resume_all(self)))

    async def _rest(self) -> None:
        """Wait until nothing is left to do."""
        deadline = self.loop.time() + self.patience_s
        while self.loop.time() < deadline:
            await asyncio.sleep(1.0)
            if oracle.at_rest(self):
                await asyncio.sleep(2.0)
                if oracle.at_rest(self):
                    return

    async def _end(self) -> None:
        self.over = True
        for process in self.processes:
            process.kill()
        await asyncio.sleep(40.0)
        me = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not me]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        problem = context.get("exception")
        if isinstance(problem, Transient):
            return
        self.broken(f"unhandled: {context['message']}: {problem!r}")

    # -- processes -------------------------------------------------------------------------------------------------
    def line(self, process: Process, *, immortal: bool = False) -> Line:
        return Line(self, process, immortal=immortal)

    def process(self, kind: str) -> Process:
        """Begin a process with a name that no other has."""
        self._lives += 1
        process = Process(self.loop, f"{kind}.{self._lives}")
        self.processes.append(process)
        return process

    def sender(self, process: Process) -> BusCommands | AcceptedCommands:
        """Return what this process sends commands with."""
        if process not in self._senders:
            line = self.line(process)
            if self.apart:
                accepted = AcceptedCommands(SimIngress(line), SimBus(line), SimClock(self, process))
                self._senders[process] = accepted
            else:
                self._senders[process] = BusCommands(SimBus(line))
        return self._senders[process]

    def freeze(self, process: Process) -> None:
        """Freeze a process for a while, sometimes far beyond its lease."""
        if process.frozen or process.dead:
            return
        seconds = self.chance.choice([0.5, 3.0, LEASE_S * 1.5, LEASE_S * 3])
        self.trace(process.name, "freeze", f"{seconds}")
        process.freeze()
        self.later(seconds, lambda: self._thaw(process))
        if process in self.executors and self.chance.random() < 0.4:
            self.later(self.chance.random() * seconds, self._replace_executor)

    async def _thaw(self, process: Process) -> None:
        self.trace(process.name, "thaw")
        process.thaw()

    async def _replace_executor(self) -> None:
        """Somebody takes the frozen one for dead and starts another; later there is one too many."""
        if not self.over and len(self.living()) < gremlins.EXECUTORS_MAX:
            self.start_executor()

    def living(self) -> list[Process]:
        """The executors that live, frozen or not."""
        return [process for process in self.executors if not process.dead]

    async def stop(self, process: Process) -> None:
        """Ask a process to end in good order."""
        self.trace(process.name, "stop")
        if process in self._stops:
            self._stops[process].set()

    def start_executor(self) -> Process:
        process = self.process("executor")
        self.executors.append(process)
        self.trace(process.name, "start")
        process.on_death.append(lambda: self._executor_died(process))
        stop = self._stops[process] = asyncio.Event()
        process.spawn(self._lives_on(process, self._executor(process, stop)))
        return process

    async def _executor(self, process: Process, stop: asyncio.Event) -> None:
        """What levada_executor.main puts together, on the ports of this process."""
        line, clock = self.line(process), SimClock(self, process)
        store, bus, ingress = SimStore(line), SimBus(line), SimIngress(line)
        partitions = Partitions(
            SimMembers(line),
            service="executor",
            name=process.name,
            topic=COMMANDS,
            partitions=PARTITIONS,
            clock=clock,
            lease_s=EXECUTOR_LEASE_S,
        )
        executor = Executor(
            store=store,
            bus=bus,
            flows=SimFlows(line),
            hub=Silent(),
            clock=clock,
            environment=engine.Environment(kill_deadline_us=int(KILL_DEADLINE_S * 1_000_000), turn_budget=3),
            assignment=partitions,
            ingress=ingress if self.apart else None,
            wake_workers=self.jobs.notify,
            wake_timers=lambda due: timers.wake(due),
        )
        sender = self.sender(process)
        timers = TimerLoop(store, sender, clock, lambda: executor.owned)
        leases = LeaseLoop(SimJobs(line), clock, LEASE_S / 3, lambda: 0 in executor.owned)
        loops = [executor.run, timers.run, leases.run]
        if isinstance(sender, AcceptedCommands):
            loops.append(Reconciler(ingress, bus, sender, clock, lambda: executor.positions).run)
        beating = asyncio.Event()
        beats = asyncio.create_task(partitions.run(beating))
        await asyncio.gather(*(asyncio.create_task(_supervised(loop, stop)) for loop in loops))
        beating.set()
        await beats
        await _leave(partitions)

    async def _lives_on(self, process: Process, main: Awaitable[None]) -> None:
        """Run a process to its end, which must not be an error."""
        try:
            await main
        except Exception as problem:  # noqa: BLE001  whatever ends a process is a finding
            if not process.dead:
                self.broken(f"{process.name} broke: {type(problem).__name__}: {problem}")
        self.trace(process.name, "over")
        process.kill()

    def _executor_died(self, process: Process) -> None:
        self.trace(process.name, "died")
        self.later(0.1 + self.chance.random() * 3, self.executors_wanted)

    async def executors_wanted(self) -> None:
        """Start executors until there are as many as there should be."""
        while not self.over and len(self.living()) < self.wanted:
            self.start_executor()

    def start_worker(self, name: str) -> Process:
        process = self.process(name)
        self.workers[name] = process
        self.trace(process.name, "start")
        stop = self._stops[process] = asyncio.Event()
        process.spawn(self._lives_on(process, self._worker(process, name, stop)))
        return process

    async def _worker(self, process: Process, name: str, stop: asyncio.Event) -> None:
        assert self._folder is not None
        data_dir = self._folder / process.name
        spool = data_dir / f"results-{name}.jsonl"
        data_dir.mkdir()
        spool.write_bytes(self.spools.pop(name, b""))
        process.on_death.append(lambda: self._worker_died(process, name, spool))
        config = WorkerConfig(
            name=name,
            data_dir=data_dir,
            temp_dir=data_dir / "tmp",
            slots=3,
            lease_s=LEASE_S,
            poll_s=2.0,
            grace_s=2.0,
            kill_grace_s=1.0,
        )
        line = self.line(process)
        files = MemoryFiles()
        worker = Worker(
            SimJobs(line),
            lambda claim: self.services,  # type: ignore[arg-type,return-value]
            lambda claim: files,
            self.registry,
            SimClock(self, process),
            config,
            SimSink(line),
        )
        await worker.run(stop)

    def _worker_died(self, process: Process, name: str, spool: Path) -> None:
        """What was synced to its disk is there when it starts again."""
        self.spools[name] = spool.read_bytes()
        self.trace(process.name, "died", f"{len(self.spools[name])} bytes spooled")
        self.later(0.5 + self.chance.random() * 9, lambda: self._worker_wanted(name, process))

    async def _worker_wanted(self, name: str, before: Process) -> None:
        if not self.over and self.workers[name] is before:
            self.start_worker(name)

    # -- lookups ---------------------------------------------------------------------------------------------------
    def flow_of(self, execution_id: str) -> str:
        return encoding.head_from(self.tables.heads[execution_id]).flow_id

    def new_id(self) -> str:
        return new_id(self.clock)


@functools.cache
def _keep_program() -> None:
    """Take the program itself out of what is searched for garbage after each world. Once in a process."""
    gc.collect()
    gc.freeze()


class _Quiet:
    """The product's log is not wanted while a world is simulated: it would be most of the work."""

    def __init__(self) -> None:
        self._before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)

    def over(self) -> None:
        logging.disable(self._before)
