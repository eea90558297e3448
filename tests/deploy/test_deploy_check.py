"""The deployment is checked, and the check finds what is broken on purpose."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "check"))

import chart
import composition
import image
import tools

CHART = ROOT / "deploy" / "helm" / "levada"
MINIMAL, FULL = CHART / "ci" / "minimal.yaml", CHART / "ci" / "full.yaml"


@pytest.fixture(scope="module")
def helm() -> Path:
    try:
        return tools.helm(build=bool(os.environ.get("LEVADA_REQUIRE_HELM")))
    except tools.Missing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def rendered(helm: Path) -> str:
    done = chart.render(CHART, helm, FULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs_go() -> None:
    if shutil.which("go") is None:
        pytest.skip("Go brings the schema of compose files, and is not here")


# --- what is there is fine


def test_the_image_is_fine() -> None:
    assert list(image.problems(ROOT / "deploy" / "docker" / "Dockerfile")) == []


def test_the_compose_file_is_fine() -> None:
    needs_go()
    assert list(composition.problems(ROOT / "deploy" / "compose" / "compose.yml")) == []


def test_the_chart_is_fine_with_every_example(helm: Path) -> None:
    assert list(chart.problems(CHART, helm)) == []


def test_without_kafka_nothing_speaks_of_kafka(helm: Path) -> None:
    text = chart.render(CHART, helm, MINIMAL).stdout
    assert "LEVADA_KAFKA" not in text
    assert "topics" not in text


def test_with_an_object_store_no_pods_share_a_volume(rendered: str, helm: Path) -> None:
    assert "persistentVolumeClaim" not in rendered
    assert "persistentVolumeClaim" in chart.render(CHART, helm, MINIMAL).stdout
    pods = [each for each in yaml.safe_load_all(rendered) if each and each["kind"] == "Deployment"]
    for pod in pods:
        spec = pod["spec"]["template"]["spec"]
        worker = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
        assert spec["serviceAccountName"] == ("levada-tasks" if worker else "levada"), (
            "whose credentials it may be given"
        )
        told = {one["name"] for container in spec["containers"] for one in container["env"]}
        assert ("LEVADA_STORAGE_SECRET_KEY" in told) is not worker


def test_everything_that_can_be_switched_on_is_there(rendered: str) -> None:
    kinds = {document["kind"] for document in yaml.safe_load_all(rendered) if document}
    assert kinds == {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PrometheusRule",
        "ScaledObject",
        "Service",
        "ServiceMonitor",
    }


# --- what is broken is found


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("replicas: 2", 'replicas: "three"', "three"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "not locked down"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "as root"),
        ("automountServiceAccountToken: false", "automountServiceAcountToken: false", "automountServiceAcountToken"),
        ("terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 20", "before its own grace"),
        ("LEVADA_WORKER_SLOTS", "LEVADA_WORKER_SLOT", "unknown environment variable"),
        ("LEVADA_WORKER_TAGS", "LEVADA_KAFKA_CLIENT_ID", "may not know LEVADA_KAFKA_CLIENT_ID"),
        ("LEVADA_WORKER_TAGS", "LEVADA_STORAGE_REGION", "may not know LEVADA_STORAGE_REGION"),
        ("maxReplicaCount: 8", "maxReplicas: 8", "maxReplicaCount"),
        ("type: prometheus", "type: promethius", "prometheus"),
        ("name: check-executor}\n  minReplica", "name: nobody}\n  minReplica", "not there"),
        ("averageUtilization: 60", "averageUtilization: a lot", "a lot"),
    ],
)
def test_a_broken_manifest_is_found(rendered: str, right: str, wrong: str, said: str) -> None:
    assert right in rendered, "the chart has changed: break something else"
    problems = list(chart.manifests(rendered.replace(right, wrong)))
    assert any(said in problem for problem in problems), problems


def test_a_value_that_does_not_exist_is_refused(helm: Path) -> None:
    done = chart.render(CHART, helm, MINIMAL, "--set", "services.api.replica=3")
    assert done.returncode != 0
    assert "replica" in done.stderr


@pytest.mark.parametrize("missing", ["database", "auth", "keys"])
def test_a_secret_that_is_not_named_is_asked_for(helm: Path, tmp_path: Path, missing: str) -> None:
    values = yaml.safe_load(MINIMAL.read_text())
    del values[missing]
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = chart.render(CHART, helm, file)
    assert done.returncode != 0
    assert f"{missing}.existingSecret" in done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("restart: unless-stopped", "restartt: unless-stopped", "restartt"),
        ("migrate: {condition", "migration: {condition", "migration, which is not there"),
        ("networks: [workers]", "networks: [elsewhere]", "elsewhere, which is not there"),
        ("LEVADA_WORKER_SLOTS:", "LEVADA_WORKER_SLOT:", "unknown environment variable"),
        (
            "LEVADA_WORKER_SLOTS: $",
            "LEVADA_DATABASE_URL: postgresql://a:b@c/d\n      LEVADA_WORKER_SLOTS: $",
            "may know",
        ),
        ("read_only: true", "read_only: false", "read_only must be True"),
    ],
)
def test_a_broken_compose_file_is_found(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    needs_go()
    text = (ROOT / "deploy" / "compose" / "compose.yml").read_text()
    assert right in text, "the file has changed: break something else"
    broken = tmp_path / "compose.yml"
    broken.write_text(text.replace(right, wrong))
    problems = list(composition.problems(broken))
    assert any(said in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("USER 10001:10001", "USER root", "10001"),
        ("WORKDIR /src", "WORKDIR src", "DL3000"),
        (" --no-cache-dir", "", "DL3042"),
        ("--require-hashes", "", "hashed versions"),
    ],
)
def test_a_broken_dockerfile_is_found(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    broken = tmp_path / "Dockerfile"
    text = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    assert right in text
    broken.write_text(text.replace(right, wrong))
    problems = list(image.problems(broken))
    assert any(said in problem for problem in problems), problems


def test_a_person_is_asked_for_every_secret_of_the_compose_file() -> None:
    compose = (ROOT / "deploy" / "compose" / "compose.yml").read_text()
    example = (ROOT / "deploy" / "compose" / ".env.example").read_text()
    assert set(re.findall(r"\$\{([A-Z_]+):\?", compose)) == set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE))
