"""The compose file: its schema, its references, and the settings it gives to services."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import environment
import jsonschema_rs
import tools
import yaml

SERVICES = frozenset({"api", "webhook", "scheduler", "executor", "indexer", "worker"})
FORBIDDEN_TO_WORKERS = ("LEVADA_DATABASE_", "LEVADA_KAFKA_", "LEVADA_BASIC_AUTH_", "LEVADA_STORAGE_")
HARDENED = {"read_only": True, "user": "10001:10001", "cap_drop": ["ALL"]}


def problems(path: Path) -> Iterator[str]:
    text = path.read_text()
    document = yaml.safe_load(_interpolated(text))
    schema = json.loads(tools.compose_schema().read_text())
    for error in jsonschema_rs.validator_for(schema).iter_errors(document):
        yield f"{path}: {'.'.join(map(str, error.instance_path))}: {error.message}"
        return
    yield from _references(path, document)
    for name in sorted(SERVICES - document["services"].keys()):
        yield f"{path}: the service {name} is missing"
    for name, service in document["services"].items():
        if not str(service["image"]).startswith("levada:"):
            continue
        yield from environment.problems(f"{path}: {name}", service.get("environment", {}))
        for key, wanted in HARDENED.items():
            if service.get(key) != wanted:
                yield f"{path}: {name}: {key} must be {wanted}"
    told = document["services"].get("worker", {}).get("environment", {})
    for variable in told:
        if variable.startswith(FORBIDDEN_TO_WORKERS):
            yield f"{path}: worker: {variable} is nothing that workers may know"


def _interpolated(text: str) -> str:
    """Return the file as compose reads it, with defaults, and a stand-in for what a person has to set."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)
    text = re.sub(r"\$\{LEVADA_ENCRYPTION_KEY:\?[^}]*\}", environment.KEY, text)
    return re.sub(r"\$\{([A-Z_]+):\?[^}]*\}", r"any-\1", text)


def _references(path: Path, document: Mapping[str, Any]) -> Iterator[str]:
    services = document["services"]
    for name, service in services.items():
        for other in service.get("depends_on") or {}:
            if other not in services:
                yield f"{path}: {name} depends on {other}, which is not there"
        for network in service.get("networks") or []:
            if network not in document.get("networks", {}):
                yield f"{path}: {name} is in the network {network}, which is not there"
        for volume in service.get("volumes") or []:
            source = volume.partition(":")[0]
            if not source.startswith((".", "/")) and source not in document.get("volumes", {}):
                yield f"{path}: {name} mounts {source}, which is not there"
