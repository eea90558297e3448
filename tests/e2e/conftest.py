"""Processes of a test, ended with it; and one server that tests may share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from product import LEVADA, Process, levada


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start `levada …` (or another program) in the test's folder; ended with the test."""
    started: list[Process] = []

    def run(*arguments: str, env: dict[str, str] | None = None, program: list[str] = LEVADA) -> Process:
        started.append(Process(*program, *arguments, cwd=tmp_path, env=env))
        return started[-1]

    yield run
    for process in started:
        process.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server for tests that only use one; the folder it runs in, where `levada` finds it."""
    folder = tmp_path_factory.mktemp("server")
    process = Process(*LEVADA, "dev", "--port", "0", cwd=folder)
    process.wait_for("Ctrl-C stops it")
    yield folder
    assert process.end() == 0, process.lines


@pytest.fixture
def command(server: Path) -> Callable[..., tuple[int, str, str]]:
    """Run a command against the shared server."""
    return lambda *arguments, **more: levada(*arguments, cwd=server, **more)
