"""Where the tools come from: the PATH, the environment of the tests, or Go's module proxy, once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
COMPOSE = "github.com/compose-spec/compose-go/v2@v2.16.2"
BUILD_TIMEOUT_S = 1200


class Missing(Exception):
    """A tool is not here and cannot be had."""


def cache() -> Path:
    named = os.environ.get("LEVADA_TOOLS_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "levada" / "tools"


def helm(*, build: bool) -> Path:
    """Return helm; with `build`, make it if it is not here. Raises Missing."""
    version = HELM.rpartition("@")[2]
    kept = cache() / f"helm-{version}" / "helm"
    if kept.exists():
        return kept
    if not build:
        found = shutil.which("helm")
        if found:
            return Path(found)
        raise Missing(f"no helm on the PATH or in {cache()}; `make deploy-check` builds it once")
    go = shutil.which("go")
    if go is None:
        found = shutil.which("helm")
        if found:
            return Path(found)
        raise Missing("neither helm nor Go is on the PATH: install one of them")
    print(f"building helm {version} once, into {kept.parent}; this takes minutes", file=sys.stderr)
    kept.parent.mkdir(parents=True, exist_ok=True)
    _run([go, "install", HELM], {"GOBIN": str(kept.parent)})
    return kept


def compose_schema() -> Path:
    """Return the JSON schema of the Compose Specification. Raises Missing."""
    go = shutil.which("go")
    if go is None:
        raise Missing("Go is not on the PATH; it brings the schema of compose files")
    said = _run([go, "mod", "download", "-json", COMPOSE], {})
    return Path(json.loads(said)["Dir"]) / "schema" / "compose-spec.json"


def program(name: str) -> Path:
    """Return a program of the environment that runs us. Raises Missing."""
    found = Path(sys.executable).with_name(name)
    if not found.exists():
        raise Missing(f"{name} is not in {found.parent}; `make setup` installs it")
    return found


def _run(command: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        cwd="/",
        check=False,
    )
    if done.returncode != 0:
        raise Missing(f"`{' '.join(command)}` failed: {done.stderr.strip()[-1000:]}")
    return done.stdout
