"""Every setting that Levada has: the one configuration tree.

The path of a setting is its key in `levada.yml` (nested) and, in capitals with underscores, its environment variable:
`worker.slots` is `LEVADA_WORKER_SLOTS`. Adding a field here is all it takes to add a setting; whoever needs it takes the
section as an argument. Values never change while a process lives. Defaults suit one machine without any set-up.
"""

# ruff: noqa: RUF009  (`setting` only makes a dataclass field)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from levada.runtime.config.setting import setting

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Server:
    url: str | None = setting(None, "Address under which people reach Levada; links are built from it", kind="text")
    cors_origins: tuple[str, ...] = setting((), "Origins whose pages may call the API; none by default")
    shutdown_grace: float = setting(
        30.0, "Time that running work gets to end when the process is told to stop", kind="seconds", low=0
    )


@dataclass(frozen=True, slots=True)
class Database:
    url: str | None = setting(None, "DSN of a Postgres 15+; unset: the embedded one", kind="text", secret=True)
    pool_size: int = setting(10, "Most connections that one process opens", low=2, high=500)
    connect_timeout: float = setting(10.0, "Longest wait for a connection", kind="seconds", low=0.1)
    command_timeout: float = setting(60.0, "Longest wait for one statement", kind="seconds", low=1)
    bin_dir: Path | None = setting(None, "Folder with `postgres` and `initdb` for the embedded Postgres", kind="path")
    run_as: str | None = setting(None, "User that the embedded Postgres runs as when Levada runs as root", kind="text")


@dataclass(frozen=True, slots=True)
class Bus:
    partitions: int = setting(8, "Partitions of the commands topic; fixed once a database is in use", low=1, high=1024)
    doorbell: bool = setting(True, "Wake readers by NOTIFY; off: they only poll")
    poll_interval: float = setting(
        0.5, "Pause between polls when no doorbell rings", kind="seconds", low=0.005, high=60
    )
    retention: float = setting(DAY_S, "How long messages that were read are kept", kind="seconds", low=MINUTE_S)


@dataclass(frozen=True, slots=True)
class Kafka:
    bootstrap_servers: tuple[str, ...] = setting((), "Brokers as host:port,…; unset: the bus in Postgres")
    client_id: str = setting("levada", "Name that the brokers see")
    topic_prefix: str = setting("", "Put before every topic and group name")
    replication_factor: int = setting(3, "Copies of each topic that Levada makes", low=1, high=15)
    make_topics: bool = setting(True, "Make missing topics at start; off: only `levada topics apply` makes them")
    retention: float = setting(7 * DAY_S, "How long the brokers keep messages, read or not", kind="seconds", low=HOUR_S)
    delivery_timeout: float = setting(
        10.0, "Longest wait for the brokers to confirm a message", kind="seconds", low=0.5, high=HOUR_S
    )
    security_protocol: str = setting(
        "PLAINTEXT", "How to talk to the brokers", choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
    )
    sasl_mechanism: str = setting("PLAIN", "How to sign in", choices=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"))
    sasl_username: str | None = setting(None, "User name for SASL", kind="text")
    sasl_password: str | None = setting(None, "Password for SASL", kind="text", secret=True)
    ssl_ca_file: Path | None = setting(None, "Certificates that sign the brokers'; unset: the system's", kind="path")
    ssl_cert_file: Path | None = setting(None, "Our certificate", kind="path")
    ssl_key_file: Path | None = setting(None, "Our certificate's key", kind="path")
    ssl_key_password: str | None = setting(None, "Password of that key", kind="text", secret=True)
    ssl_check_hostname: bool = setting(True, "Refuse a broker whose certificate names another host")
    libs: Path | None = setting(
        None, "Folder with Kafka's jars for `--kafka`; unset: they are fetched once", kind="path"
    )
    cache: Path | None = setting(None, "Folder where fetched jars are kept; unset: the user's cache", kind="path")


@dataclass(frozen=True, slots=True)
class Storage:
    url: str | None = setting(
        None,
        "Internal storage: file:///…, s3://bucket/prefix, gs://…, az://…; unset: `storage` in the data folder",
        kind="text",
    )
    endpoint: str | None = setting(
        None, "Address of a server that speaks S3, https://host:port; unset: Amazon's", kind="text"
    )
    region: str | None = setting(None, "Region of the bucket; unset: AWS_REGION, or us-east-1", kind="text")
    access_key: str | None = setting(
        None, "Key id for s3://; unset: AWS_ACCESS_KEY_ID, or what the machine or pod is given", kind="text"
    )
    secret_key: str | None = setting(None, "The secret of that key", kind="text", secret=True)
    ca_file: Path | None = setting(None, "Certificates that sign the endpoint's, besides the known ones", kind="path")
    timeout: float = setting(
        30.0, "Longest wait for an object store to go on answering", kind="seconds", low=1, high=HOUR_S
    )


@dataclass(frozen=True, slots=True)
class Auth:
    mode: str = setting(
        "basic", "Who may call: basic (user name and password) or none (loopback only)", choices=("basic", "none")
    )
    open_urls: tuple[str, ...] = setting((), "Paths that need no sign-in, besides health checks and webhooks")


@dataclass(frozen=True, slots=True)
class BasicAuth:
    username: str | None = setting(None, "User name of the one basic account", kind="text")
    password: str | None = setting(None, "Its password", kind="text", secret=True)


@dataclass(frozen=True, slots=True)
class Encryption:
    key: str | None = setting(
        None, "32 bytes, as base64 or as they are: encrypts inputs and outputs of type SECRET", kind="text", secret=True
    )


@dataclass(frozen=True, slots=True)
class Log:
    format: str = setting("text", "Lines for people or JSON for machines", choices=("text", "json"))
    level: str = setting("info", "Least severe lines to print", choices=("trace", "debug", "info", "warning", "error"))
    levels: Mapping[str, Any] = setting({}, 'Levels of single loggers, as {"levada.bus": "debug"}')


@dataclass(frozen=True, slots=True)
class Telemetry:
    otlp_endpoint: str | None = setting(
        None, "Collector of traces as http://host:4318 (OTLP over HTTP); unset: no traces", kind="text"
    )
    headers: Mapping[str, Any] | None = setting(
        None, 'Headers for the collector, as {"api-key": "…"}', kind="map", secret=True
    )
    sample_ratio: float = setting(
        1.0, "Share of traces begun here that is recorded; a caller's own decision holds", low=0, high=1
    )
    service_name: str = setting("levada", "First part of the services' names in traces: levada-executor …")


@dataclass(frozen=True, slots=True)
class Executor:
    lease: float = setting(
        2.0, "An executor unheard of for this long loses its partitions to others", kind="seconds", low=0.5, high=60
    )
    batch_records: int = setting(200, "Most commands in one transaction", low=1, high=10_000)
    batch_bytes: int = setting(MIB, "Most bytes of commands in one transaction", kind="bytes", low=64 * KIB)


@dataclass(frozen=True, slots=True)
class Worker:
    slots: int = setting(8, "Tasks that one worker runs at a time", low=1, high=10_000)
    name: str | None = setting(
        None, "Name of this worker, kept over restarts; unset: made of host and data folder", kind="text"
    )
    queues: tuple[str, ...] = setting(("default",), "Queues that this worker serves")
    tags: tuple[str, ...] = setting((), "Tags that it carries; tasks ask for them with workerSelector")
    lease: float = setting(
        30.0, "A worker unheard of for this long has lost its tasks", kind="seconds", low=0.5, high=HOUR_S
    )
    gateway_url: tuple[str, ...] = setting(
        (), "Addresses of api services, http://host:port,…, for a worker in a process of its own"
    )
    token: str | None = setting(
        None, "What a worker in its own process shows to the api service", kind="text", secret=True
    )
    kill_grace: float = setting(10.0, "Time between asking a task to end and killing it", kind="seconds", low=0)
    temp_dir: Path | None = setting(None, "Where working directories are made; unset: the system's", kind="path")


@dataclass(frozen=True, slots=True)
class Scheduler:
    interval: float = setting(
        1.0, "Longest pause between looks at what is due", kind="seconds", low=0.01, high=MINUTE_S
    )
    timezone: str | None = setting(None, "Zone of schedules that name none; unset: the server's", kind="text")
    recover_missed_schedules: str = setting(
        "ALL",
        "Dates that were missed: fire all, the last or none, unless a schedule says so",
        choices=("ALL", "LAST", "NONE"),
    )
    missed_after: float = setting(10.0, "Later than this a date counts as missed", kind="seconds", low=1, high=HOUR_S)
    catch_up: int = setting(1000, "Most missed dates of one schedule that are fired", low=1, high=100_000)
    lease: float = setting(
        2.0, "A scheduler unheard of for this long has its part taken over", kind="seconds", low=0.5, high=60
    )


@dataclass(frozen=True, slots=True)
class Indexer:
    lease: float = setting(
        10.0, "An indexer unheard of for this long loses its partitions to others", kind="seconds", low=1, high=60
    )
    batch_entries: int = setting(5_000, "Most log lines, metrics or audit records in one transaction", low=1)
    linger: float = setting(
        0.1, "Longest wait for more entries before small batches are written", kind="seconds", low=0, high=5
    )
    counts_interval: float = setting(
        5.0, "Pause between recomputations of the counts of executions", kind="seconds", low=0.1, high=HOUR_S
    )


@dataclass(frozen=True, slots=True)
class Webhook:
    head_timeout: float = setting(10.0, "Longest wait for the head of a request", kind="seconds", low=0.1, high=HOUR_S)
    body_timeout: float = setting(30.0, "Longest wait for the body of a request", kind="seconds", low=0.1, high=HOUR_S)
    memory: int = setting(
        256 * MIB,
        "Most bytes of bodies that a webhook service holds at a time; beyond it answers 503",
        kind="bytes",
        low=MIB,
    )


@dataclass(frozen=True, slots=True)
class Retention:
    """Days; 0 keeps for ever."""

    events: int = setting(90, "Days to keep the events of ended executions; 0: for ever", low=0, high=36_500)
    logs: int = setting(30, "Days to keep log lines; 0: for ever", low=0, high=36_500)
    metrics: int = setting(30, "Days to keep metrics; 0: for ever", low=0, high=36_500)
    audit: int = setting(365, "Days to keep audit records; 0: for ever", low=0, high=36_500)
    counts: int = setting(400, "Days to keep counts of executions; 0: for ever", low=0, high=36_500)


@dataclass(frozen=True, slots=True)
class Limits:
    upload: int = setting(GIB, "Largest uploaded file", kind="bytes", low=KIB)
    body: int = setting(10 * MIB, "Largest request body that is not a file", kind="bytes", low=KIB)
    webhook_body: int = setting(10 * MIB, "Largest webhook body", kind="bytes", low=KIB)
    message: int = setting(
        256 * KIB, "Largest message on the bus; above it the body goes to internal storage", kind="bytes", low=KIB
    )
    free_disk: int = setting(
        32 * MIB, "Least free space on the disks that a process writes to; below it, it is not ready", kind="bytes"
    )
    output: int = setting(MIB, "Largest outputs of one task run", kind="bytes", low=KIB)
    execution: int = setting(10 * MIB, "Largest state of one execution", kind="bytes", low=64 * KIB)
    flow_source: int = setting(MIB, "Largest source of a flow", kind="bytes", low=KIB)
    flow_tasks: int = setting(2_000, "Most tasks of a flow", low=1)
    iterations: int = setting(100_000, "Most items of one loop", low=1)
    labels: int = setting(50, "Most labels of an execution", low=1)
    label: int = setting(256, "Largest key or value of a label", kind="bytes", low=16)
    log_line: int = setting(32 * KIB, "Longest log line; the rest is cut and said so", kind="bytes", low=256)
    attempt_logs: int = setting(100 * MIB, "Most log text of one attempt", kind="bytes", low=KIB)
    stdout_rate: int = setting(
        5 * MIB, "Most output of a process per second; above it the process waits", kind="bytes", low=KIB
    )


@dataclass(frozen=True, slots=True)
class Variables:
    env_vars_prefix: str = setting("ENV_", "Environment variables with this prefix are `envs` in expressions")
    globals: Mapping[str, Any] = setting({}, "Values that every expression sees as `globals`")


@dataclass(frozen=True, slots=True)
class Environment:
    name: str | None = setting(
        None, "Name of this installation, shown in the UI, `kestra.environment.name`", kind="text"
    )
    color: str | None = setting(None, "Its colour", kind="text")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole tree. Sections are arguments of the parts they belong to."""

    host: str = setting("127.0.0.1", "Address to listen on")
    port: int = setting(8080, "Port of API and UI; 0: any free one", low=0, high=65_535)
    management_port: int = setting(8081, "Port of health and metrics; 0: any free one", low=0, high=65_535)
    data_dir: Path = setting(Path(".levada"), "Folder of the embedded Postgres and of local storage")
    flows: Path | None = setting(None, "Folder whose flow files are deployed and kept live", kind="path")
    server: Server = field(default_factory=Server)
    database: Database = field(default_factory=Database)
    bus: Bus = field(default_factory=Bus)
    kafka: Kafka = field(default_factory=Kafka)
    storage: Storage = field(default_factory=Storage)
    auth: Auth = field(default_factory=Auth)
    basic_auth: BasicAuth = field(default_factory=BasicAuth)
    encryption: Encryption = field(default_factory=Encryption)
    log: Log = field(default_factory=Log)
    telemetry: Telemetry = field(default_factory=Telemetry)
    executor: Executor = field(default_factory=Executor)
    worker: Worker = field(default_factory=Worker)
    scheduler: Scheduler = field(default_factory=Scheduler)
    webhook: Webhook = field(default_factory=Webhook)
    indexer: Indexer = field(default_factory=Indexer)
    retention: Retention = field(default_factory=Retention)
    limits: Limits = field(default_factory=Limits)
    variables: Variables = field(default_factory=Variables)
    environment: Environment = field(default_factory=Environment)

    @property
    def embedded_database(self) -> bool:
        """Whether Levada runs its own Postgres."""
        return self.database.url is None

    @property
    def storage_url(self) -> str:
        """The address of internal storage, by default a folder in the data folder."""
        return self.storage.url or (self.data_dir.resolve() / "storage").as_uri()
