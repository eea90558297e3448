"""The chart: linted and rendered by helm with each file of `ci/`, and every object held against its schema.

Kubernetes' own kinds are checked by kubernetes-validate, which knows their schemas and refuses unknown fields; those of KEDA
and the Prometheus Operator by the small schemas below. Beyond the schemas, each pod must keep what this project promises of
it: no root, read-only root, a grace longer than the service's own, settings that exist.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import environment
import jsonschema_rs
import kubernetes_validate
import yaml

KUBERNETES = "1.31"
WORKERS_MAY_NOT_KNOW = ("LEVADA_DATABASE_", "LEVADA_KAFKA_", "LEVADA_BASIC_AUTH_", "LEVADA_STORAGE_", "AZURE_", "AWS_")


def _object(required: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(more or {})},
        "additionalProperties": False,
    }


STRING: dict[str, Any] = {"type": "string", "minLength": 1}
NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0}
STRINGS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
SPECS: Mapping[str, dict[str, Any]] = {
    "ScaledObject": _object(
        {
            "scaleTargetRef": _object({"name": STRING}),
            "minReplicaCount": NUMBER,
            "maxReplicaCount": NUMBER,
            "triggers": {
                "type": "array",
                "minItems": 1,
                "items": _object(
                    {
                        "type": {"const": "prometheus"},
                        "metadata": _object({"serverAddress": STRING, "query": STRING, "threshold": STRING}),
                    }
                ),
            },
        },
        {"cooldownPeriod": NUMBER},
    ),
    "ServiceMonitor": _object(
        {
            "selector": _object({"matchLabels": STRINGS}),
            "endpoints": {"type": "array", "items": _object({"port": STRING, "path": STRING, "interval": STRING})},
        }
    ),
    "PrometheusRule": _object(
        {
            "groups": {
                "type": "array",
                "minItems": 1,
                "items": _object(
                    {
                        "name": STRING,
                        "rules": {
                            "type": "array",
                            "items": _object(
                                {"alert": STRING, "expr": STRING},
                                {"for": STRING, "labels": STRINGS, "annotations": STRINGS},
                            ),
                        },
                    },
                    {"interval": STRING},
                ),
            }
        }
    ),
}


def problems(chart: Path, helm: Path) -> Iterator[str]:
    for values in sorted((chart / "ci").glob("*.yaml")):
        done = _helm(helm, "lint", "--strict", str(chart), "--values", str(values), "--kube-version", f"{KUBERNETES}.0")
        if done.returncode != 0:
            yield f"{values.name}: helm lint: {done.stdout.strip()[-1500:]}"
            continue
        done = render(chart, helm, values)
        if done.returncode != 0:
            yield f"{values.name}: helm template: {done.stderr.strip()[-1500:]}"
            continue
        for found in manifests(done.stdout):
            yield f"{values.name}: {found}"


def render(chart: Path, helm: Path, values: Path, *more: str) -> subprocess.CompletedProcess[str]:
    kube = ("--kube-version", f"{KUBERNETES}.0")
    return _helm(helm, "template", "check", str(chart), "--namespace", "levada", "--values", str(values), *kube, *more)


def manifests(text: str) -> Iterator[str]:
    """Yield what is wrong with rendered objects."""
    documents = [document for document in yaml.safe_load_all(text) if document]
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{' '.join(name)} is there twice"
    for document in documents:
        place = f"{document['kind']} {document['metadata']['name']}"
        for problem in (*_of_schema(document), *_of_pod(document)):
            yield f"{place}: {problem}"
    targets = {name for kind, name in names if kind == "Deployment"}
    for document in documents:
        target = document.get("spec", {}).get("scaleTargetRef", {}).get("name")
        if target is not None and target not in targets:
            yield f"{document['kind']} {document['metadata']['name']}: scales {target}, which is not there"


def _of_schema(document: Mapping[str, Any]) -> Iterator[str]:
    spec = SPECS.get(document["kind"])
    if spec is not None:
        for error in jsonschema_rs.validator_for(spec).iter_errors(document["spec"]):
            yield f"spec.{'.'.join(map(str, error.instance_path))}: {error.message}"
        return
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        yield f"no schema: {error}"


def _of_pod(document: Mapping[str, Any]) -> Iterator[str]:
    if document["kind"] not in ("Deployment", "Job"):
        return
    pod = document["spec"]["template"]["spec"]
    if not pod.get("securityContext", {}).get("runAsNonRoot"):
        yield "may run as root"
    for container in pod["containers"]:
        security = container.get("securityContext", {})
        if not security.get("readOnlyRootFilesystem") or security.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{container['name']} is not locked down"
        told = {one["name"]: _value(one) for one in container.get("env", [])}
        yield from environment.problems(container["name"], told)
        if document["kind"] == "Deployment" and float(told.get("LEVADA_SERVER_SHUTDOWN_GRACE", 30)) >= pod.get(
            "terminationGracePeriodSeconds", 30
        ):
            yield "is killed before its own grace is over"
        if container["name"] == "worker":
            yield from (f"a worker may not know {name}" for name in told if name.startswith(WORKERS_MAY_NOT_KNOW))


def _value(variable: Mapping[str, Any]) -> str:
    if "value" in variable:
        return str(variable["value"])
    return environment.STAND_INS.get(variable["name"], "from-a-secret")


def _helm(helm: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm, *arguments], capture_output=True, text=True, timeout=120, check=False)
