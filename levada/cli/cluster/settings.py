"""What each process of a local cluster is told, and in which order services start and stop.

Processes get environment variables and nothing else, the same that a container gets; see deploy/compose for the same
table in another form. Workers are told neither database nor brokers nor storage: they must do without.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Bus = Literal["postgres", "kafka"]

START_ORDER = ("executor", "indexer", "api", "scheduler", "webhook", "worker")
"""All start at once; the order only decides who gets the processor first. Workers cannot do anything before the api."""

STOP_ORDER = (("webhook", "scheduler"), ("worker",), ("api",), ("executor",), ("indexer",))
"""First who lets new work in. Workers before the api and the executor, which take their last results."""

BALANCED = ("api", "webhook")
"""Services that people and workers call through one address."""

NO_BACKENDS = frozenset({"worker"})

assert set(START_ORDER) == {service for group in STOP_ORDER for service in group}


@dataclass(frozen=True, slots=True)
class Counts:
    """Processes of each service; `brokers` count only when the bus is Kafka."""

    executor: int = 3
    scheduler: int = 2
    worker: int = 4
    api: int = 2
    webhook: int = 2
    indexer: int = 1
    brokers: int = 3

    def of(self, service: str) -> int:
        return int(getattr(self, service))


@dataclass(frozen=True, slots=True)
class Shared:
    """What is one for the whole cluster."""

    folder: Path
    dsn: str
    bootstrap: str | None
    brokers: int
    token: str
    encryption_key: str


def keys(folder: Path) -> tuple[str, str]:
    """Return the worker token and the encryption key of the cluster in a folder, drawn when it is made.

    They are kept: values that were sealed before a restart must open after it.
    """
    drawn = []
    for name, fresh in (
        ("worker-token", secrets.token_urlsafe(32)),
        ("encryption-key", base64.b64encode(secrets.token_bytes(32)).decode()),
    ):
        path = folder / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(fresh)
        drawn.append(path.read_text())
    return drawn[0], drawn[1]


def common(shared: Shared) -> dict[str, str]:
    """What every process is told."""
    return {
        "LEVADA_HOST": "127.0.0.1",
        "LEVADA_AUTH_MODE": "none",
        "LEVADA_ENCRYPTION_KEY": shared.encryption_key,
        "LEVADA_WORKER_TOKEN": shared.token,
        "PYTHONUNBUFFERED": "1",
    }


def backends(shared: Shared) -> dict[str, str]:
    """What those are told who may reach Postgres, Kafka and internal storage."""
    told = {"LEVADA_DATABASE_URL": shared.dsn, "LEVADA_STORAGE_URL": (shared.folder / "storage").as_uri()}
    if shared.bootstrap is not None:
        told["LEVADA_KAFKA_BOOTSTRAP_SERVERS"] = shared.bootstrap
        told["LEVADA_KAFKA_REPLICATION_FACTOR"] = str(min(shared.brokers, 3))
    return told


def of_service(service: str, shared: Shared, gateways: Sequence[str]) -> dict[str, str]:
    """What a process of this service is told, besides its ports and folders; `gateways` are the api processes."""
    told = common(shared)
    if service in NO_BACKENDS:
        return {**told, "LEVADA_WORKER_GATEWAY_URL": ",".join(gateways)}
    return told | backends(shared)


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what would configure Levada by accident; secrets of flows stay."""
    kept = ("LEVADA_SECRET_", "LEVADA_FAILPOINTS", "LEVADA_CHAOS")
    return {name: text for name, text in environ.items() if not name.startswith("LEVADA_") or name.startswith(kept)}
