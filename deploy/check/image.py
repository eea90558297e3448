"""The Dockerfile: hadolint, and what it cannot know."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import tools

MUST = {
    r"^USER 10001:10001$": "runs as the user 10001, by number, so that Kubernetes can see that it is not root",
    r"^HEALTHCHECK ": "has a health check",
    r"--require-hashes": "installs hashed versions only",
    r'^ENTRYPOINT \["levada"\]$': "starts levada itself, so that signals reach it",
}


def problems(dockerfile: Path) -> Iterator[str]:
    done = subprocess.run([tools.program("hadolint"), dockerfile], capture_output=True, text=True, check=False)
    yield from (line for line in (done.stdout + done.stderr).splitlines() if line.strip())
    text = dockerfile.read_text()
    for pattern, what in MUST.items():
        if not re.search(pattern, text, re.MULTILINE):
            yield f"{dockerfile}: it should be that the image {what}"
