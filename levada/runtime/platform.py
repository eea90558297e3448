"""The platform of one process: every adapter, made once, where the process starts.

Services take what they need from here and know only the ports. Which adapter stands behind a port is decided in this file
and nowhere else: a database of our own or somebody's, the bus in it, files in a folder; or everything in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from levada.bus.memory import MemoryBus
from levada.bus.port import COMMANDS, Bus
from levada.bus.postgres import PostgresBus
from levada.database import PLAN_ONCE, Database, translated
from levada.engine import outputs
from levada.files.memory import MemoryFiles
from levada.files.port import Files
from levada.jobs.memory import MemoryJobs
from levada.jobs.port import Jobs, LeaseKeeper, LeaseReader, Stranded
from levada.jobs.postgres import PostgresJobs
from levada.model.errors import Transient
from levada.runtime.accepting import AcceptedCommands
from levada.runtime.bell import BusBell
from levada.runtime.changes import ChangeFollower, ChangePublisher
from levada.runtime.clock import Clock
from levada.runtime.commands import BusCommands
from levada.runtime.config import Config, Loaded
from levada.runtime.control import Stores
from levada.runtime.doorbell import Doorbell
from levada.runtime.failpoints import failpoint
from levada.runtime.health import Health
from levada.runtime.hub import Hub
from levada.runtime.installation import BusClaim, bus_of, identify
from levada.runtime.metered_bus import MeteredBus
from levada.runtime.published_lag import Offsets
from levada.runtime.services import LocalServices
from levada.runtime.settling import Settling
from levada.runtime.sinks import AuditSink, BusSink, LogSink, StoreSink
from levada.runtime.storage import open_files
from levada.store import memory, migrate
from levada.store import postgres as pg
from levada.store.embedded import EmbeddedPostgres
from levada.store.members import Members
from levada.store.operations import DeadLetters, Diagnosis
from levada.store.port import ExecutionQueries, ExecutionStore, FlowStore, Ingress, KvStore, LogStore, MetricStore
from levada.store.records import HOUR_US, AuditStore, ExecutionCounts, IndexStore
from levada.store.triggers import Deliveries, TriggerStore

log = logging.getLogger(__name__)

BUS_CHANNEL = "levada_bus"
JOBS_CHANNEL = "levada_jobs"
CANCEL_CHANNEL = "levada_cancel"
BUSY_POLL_S = 0.02
PURGED_AT_ONCE = 1000
DAY_US = 24 * HOUR_US


class Platform:
    """Made by `open` or `in_memory`. Fields are ports; `close` ends what was opened, in the reverse order."""

    config: Config
    clock: Clock
    bus: Bus
    commands: BusCommands | AcceptedCommands
    jobs: Jobs
    leases: LeaseKeeper
    claims: LeaseReader
    stranded: Stranded
    executions: ExecutionStore
    flows: FlowStore
    queries: ExecutionQueries
    logs: LogStore
    metrics: MetricStore
    kv: KvStore
    index: IndexStore
    audit: AuditStore
    counts: ExecutionCounts
    #: Where log lines and metrics, and audit records, go: the tables, or the bus where other processes may index.
    log_sink: LogSink
    audit_sink: AuditSink
    #: Waits for lines that are still on the bus; None where they go straight into the table.
    settling: Settling | None = None
    files: Files
    hub: Hub
    members: Members
    triggers: TriggerStore
    deliveries: Deliveries
    dead_letters: DeadLetters
    diagnosis: Diagnosis
    #: None where the bus is as durable as the database.
    ingress: Ingress | None = None
    #: None where all services are in this process.
    changes: ChangePublisher | None = None
    #: Where the lag is published; None where no brokers are asked for it.
    offsets: Offsets | None = None
    #: None in memory.
    database: Database | None = None

    def __init__(self, config: Config | Loaded, clock: Clock, health: Health | None = None) -> None:
        """`Loaded` brings the environment's secrets along; a bare `Config` has none."""
        self.config = config.config if isinstance(config, Loaded) else config
        self.secrets: Mapping[str, str] = config.secrets if isinstance(config, Loaded) else {}
        self.envs: Mapping[str, str] = config.envs if isinstance(config, Loaded) else {}
        self.encryption_key = config.encryption_key if isinstance(config, Loaded) else None
        self.clock = clock
        self.hub = Hub()
        self.health = health if health is not None else Health(clock)
        #: Whether health and metrics of this process are served by whoever opened the platform.
        self.managed = health is not None
        self._follower: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._embedded: EmbeddedPostgres | None = None
        self._doorbell: Doorbell | BusBell | None = None
        self._hot: Database | None = None
        self._notify: Callable[[], None] = lambda: None

    @classmethod
    async def open(
        cls,
        config: Config | Loaded,
        clock: Clock,
        *,
        name: str = "levada",
        migrates: bool = True,
        health: Health | None = None,
    ) -> Platform:
        """Start the embedded Postgres unless `database.url` is set, see to the schema, connect to database and bus.

        `migrates`: bring the schema up to date; otherwise it must be. Raises UserError when something can not be started
        as configured, Transient when database or bus are away or the schema is not there yet.
        """
        platform = cls(config, clock, health)
        try:
            await platform._open(name, migrates)
        except BaseException:
            await platform.close()
            raise
        return platform

    async def _open(self, name: str, migrates: bool) -> None:
        self.files = await open_files(self.config)
        dsn = self.config.database.url
        if dsn is None:
            database = self.config.database
            self._embedded = EmbeddedPostgres(self.config.data_dir, bin_dir=database.bin_dir, run_as=database.run_as)
            dsn = await self._embedded.start()
        size = self.config.database.pool_size
        self.database = await Database.open(dsn, size=max(size // 2, 1), name=name)
        await (_migrate if migrates else _migrated)(self.database)
        await pg.Partitions(self.database, now_us=self.clock.now_us).make()
        self._hot = await Database.open(dsn, size=max(size - size // 2, 1), name=f"{name} hot", settings=PLAN_ONCE)
        self.members = pg.PostgresMembers(self.database)
        self.triggers, self.deliveries = pg.PostgresTriggerStore(self.database), pg.PostgresDeliveries(self.database)
        self.dead_letters = pg.PostgresDeadLetters(self.database)
        self.diagnosis = pg.PostgresDiagnosis(self.database)
        if self._embedded is not None:
            await self.database.execute("DELETE FROM member")  # nobody else can be there: this server is ours alone
        await self._connect_bus(self._hot)
        self._compose(self._hot, self.database)
        await self.bus.ends(COMMANDS)  # a wrong number of partitions is found now, not with the first command
        if self.several:
            self.changes = ChangePublisher(self.bus, self.clock.now_us)

    @property
    def several(self) -> bool:
        """Whether there may be other processes of this installation."""
        return self._embedded is None and self.database is not None

    def follow_changes(self) -> None:
        """Hear on the hub what executors in other processes do, for services whose callers wait for it."""
        if self.several and self._follower is None:
            self._follower = asyncio.create_task(ChangeFollower(self.bus, self.hub).run(), name="changes-follow")

    async def _connect_bus(self, hot: Database) -> None:
        """Make the bus, the bell that tells other processes to look, and the way of commands."""
        config, clock = self.config, self.clock
        installation = await identify(hot, clock)
        if self.several:
            claim = BusClaim(hot, bus_of(config))
            await claim.take()
            self._keeping = asyncio.create_task(claim.keep(), name="bus-claim")
            self.health.register("one-bus", claim.check)
        if config.kafka.bootstrap_servers:
            from levada.runtime.kafka import kafka_bus  # the client is loaded only where there is a Kafka

            kafka = await kafka_bus(config, clock, installation, self.files, self.health)
            self.bus, self.offsets = MeteredBus(kafka, clock), kafka
            if config.bus.doorbell and self._embedded is None:
                self._doorbell = BusBell(self.bus, clock.random_bytes(8).hex())
            self.ingress = pg.PostgresIngress(hot)
            self.commands = AcceptedCommands(self.ingress, self.bus, clock)
            return
        alone = self._embedded is not None
        if config.bus.doorbell and not alone:
            self._doorbell = Doorbell(hot, clock.random_bytes(8).hex())
        bus = PostgresBus(
            hot,
            now_us=clock.now_us,
            partitions=config.bus.partitions,
            busy_poll_s=self._busy_poll_s(),
            idle_poll_s=config.bus.poll_interval,
            ring=self._ringer(BUS_CHANNEL),
            alone=alone,
            failpoint=failpoint,
        )
        if self._doorbell is not None:
            self._doorbell.on(BUS_CHANNEL, bus.wake)
        self.bus = MeteredBus(bus, clock)
        self.commands = BusCommands(self.bus)

    def _busy_poll_s(self) -> float:
        """Who is told of everything needs to look by itself only in case a message was lost."""
        idle_s = self.config.bus.poll_interval
        return idle_s if self._embedded is not None or self._doorbell is not None else min(BUSY_POLL_S, idle_s)

    def _compose(self, hot: Database, database: Database) -> None:
        """Make the adapters that live in the database: queue and executor's store apart from everybody's queries."""
        config, clock = self.config, self.clock
        alone = self._embedded is not None
        jobs = PostgresJobs(
            hot,
            self.commands,
            now_us=clock.now_us,
            random_bytes=clock.random_bytes,
            lease_s=config.worker.lease,
            busy_poll_s=self._busy_poll_s(),
            idle_poll_s=config.bus.poll_interval,
            failpoint=failpoint,
        )
        self.jobs = self.leases = self.claims = self.stranded = jobs
        self._notify = self._ringer(JOBS_CHANNEL, jobs.notify)
        self.executions = pg.PostgresExecutionStore(
            hot,
            now_us=clock.now_us,
            index=outputs.rebuild,
            on_withdrawn=self._ringer(CANCEL_CHANNEL, jobs.notify_withdrawn),
            ingress_partitions=self.bus.partitions if self.ingress is not None else None,
            failpoint=failpoint,
        )
        self.flows = pg.PostgresFlowStore(database, alone=alone)
        self.queries = pg.PostgresExecutionQueries(database)
        self.logs, self.metrics = pg.PostgresLogStore(database), pg.PostgresMetricStore(database)
        self.kv = pg.PostgresKvStore(database)
        self.index, self.audit = pg.PostgresIndexStore(database), pg.PostgresAuditStore(database)
        self.counts = pg.PostgresExecutionCounts(database)
        self._lay_pipes()
        if self._doorbell is not None:
            self._doorbell.on(JOBS_CHANNEL, jobs.notify)
            self._doorbell.on(CANCEL_CHANNEL, jobs.notify_withdrawn)
            self._doorbell.start()

    @classmethod
    def in_memory(cls, clock: Clock, config: Config | Loaded | None = None) -> Platform:
        """A platform for tests: nothing outside this process, nothing kept."""
        platform = cls(config if config is not None else Config(), clock)
        tables = memory.Tables()
        bus = MemoryBus(partitions=platform.config.bus.partitions, monotonic=clock.monotonic, sleep=clock.sleep)
        platform.bus, platform.commands = bus, BusCommands(bus)
        platform.members = memory.MemoryMembers(tables, now_us=clock.now_us)
        platform.triggers = memory.MemoryTriggerStore(tables, now_us=clock.now_us)
        platform.deliveries = memory.MemoryDeliveries(tables)
        platform.dead_letters = memory.MemoryDeadLetters(tables)
        platform.diagnosis = memory.MemoryDiagnosis(tables)
        jobs = MemoryJobs(tables.leases, platform.commands, clock, lease_s=platform.config.worker.lease)
        platform.jobs = platform.leases = platform.claims = platform.stranded = jobs
        platform._notify = jobs.notify
        platform.executions = memory.MemoryExecutionStore(tables, now_us=clock.now_us, index=outputs.rebuild)
        platform.flows = memory.MemoryFlowStore(tables)
        platform.queries = memory.MemoryExecutionQueries(tables)
        platform.logs, platform.metrics = memory.MemoryLogStore(tables), memory.MemoryMetricStore(tables)
        platform.kv = memory.MemoryKvStore(tables)
        platform.index, platform.audit = memory.MemoryIndexStore(tables), memory.MemoryAuditStore(tables)
        platform.counts = memory.MemoryExecutionCounts(tables)
        platform._lay_pipes()
        platform.files = MemoryFiles()
        return platform

    def _lay_pipes(self) -> None:
        """Choose where lines and records go: by the bus to whatever process indexes, unless there is only this one."""
        sink = BusSink(self.bus) if self.several else StoreSink(self.logs, self.metrics, self.audit)
        self.log_sink = self.audit_sink = sink
        if self.several:
            self.settling = Settling(self.bus, self.index, self.clock)

    def short_of_disk(self, within_s: float) -> str | None:
        """Return what Postgres said if it lacked space on its disk within the last seconds."""
        return next((s for one in (self.database, self._hot) if one and (s := one.short_of_disk(within_s))), None)

    def notify_jobs(self) -> None:
        """Attempts were submitted by a commit: workers look now, here and in other processes."""
        self._notify()

    def services(self, tenant: str = "main") -> LocalServices:
        """What tasks may use of the control plane, answered in this process."""
        stores = Stores(
            flows=self.flows,
            queries=self.queries,
            logs=self.logs,
            metrics=self.metrics,
            kv=self.kv,
            files=self.files,
            commands=self.commands,
            triggers=self.triggers,
        )
        return LocalServices(
            tenant, clock=self.clock, stores=stores, secrets=self.secrets, encryption_key=self.encryption_key
        )

    async def keep_house(self) -> None:
        """What has to be done about once an hour: expired keys, old timers, partitions of the tables by time."""
        now = self.clock.now_us()
        while await self.kv.purge_expired(now, PURGED_AT_ONCE):
            pass
        if self.database is None:
            return
        await pg.drop_timers_of_ended(self.database, before=now - DAY_US)
        if self.config.retention.counts:
            await self.counts.forget(now - self.config.retention.counts * DAY_US)
        partitions = pg.Partitions(self.database, now_us=self.clock.now_us)
        try:
            await partitions.make()
            await partitions.drop(self._retention())
        except Transient as error:
            log.warning("partitions are left as they are until the next hour: %s", error)

    def _retention(self) -> dict[str, float | None]:
        """Days to keep each table by time; None is for ever."""
        keep = self.config.retention
        bus = self.config.bus.retention / 86_400
        return {
            "execution_event": keep.events or None,
            "log": keep.logs or None,
            "metric": keep.metrics or None,
            "audit_log": keep.audit or None,
            "bus_log": bus,
            "out_log": bus,
        }

    async def close(self) -> None:
        """End what was opened, the database last. Safe to call twice."""
        for task in (self._follower, self._keeping):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._doorbell is not None:
            await self._doorbell.close()
        for part in ("jobs", "changes", "commands", "bus", "files"):
            opened = self.__dict__.pop(part, None)
            if opened is not None:
                await opened.close()
        if self._hot is not None:
            await self._hot.close()
        if self.database is not None:
            await self.database.close()
        if self._embedded is not None:
            await self._embedded.stop()

    def _ringer(self, channel: str, here: Callable[[], None] = lambda: None) -> Callable[[], None]:
        """Return what tells this process and, where there may be others, those too."""
        doorbell = self._doorbell
        if doorbell is None:
            return here

        def ring() -> None:
            here()
            doorbell.ring(channel)

        return ring


async def _migrated(database: Database) -> None:
    """Raise Transient unless the schema is what this release needs."""
    async with database.connection() as connection:
        missing = await migrate.pending(connection)
    if missing:
        raise Transient(f"the database lacks {', '.join(missing)}: run `levada migrate`")


async def _migrate(database: Database) -> None:
    connection = await database.connect()
    try:
        await migrate.migrate(connection)
    except Exception as error:
        raise translated(error) from error
    finally:
        await connection.close(timeout=10)
