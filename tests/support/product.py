"""The real product as processes: what a person starts, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVADA = [sys.executable, "-m", "levada"]
PATIENCE_S = 60.0


class Process:
    """A running program whose output is collected line by line."""

    def __init__(self, *arguments: str, cwd: Path, env: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            arguments,
            cwd=cwd,
            env=environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def wait_for(self, text: str, seconds: float = PATIENCE_S) -> str:
        """Return the first line that holds `text`, printed already or yet to come."""
        found: Callable[[], str | None] = lambda: next((line for line in self.lines if text in line), None)
        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, seconds), (
                f"{text!r} was not printed: {self.lines}"
            )
        line = found()
        assert line is not None
        return line

    def end(self, number: signal.Signals = signal.SIGINT, seconds: float = PATIENCE_S) -> int:
        """Send a signal and return the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self.exit_code(seconds)

    def exit_code(self, seconds: float = PATIENCE_S) -> int:
        code = self._process.wait(seconds)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    def kill(self) -> None:
        """For the end of a test, however it went."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """The environment without anything that configures Levada."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LEVADA_", "SECRET_", "ENV_"))}
    return {**clean, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "default", **(more or {})}


def levada(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, seconds: float = PATIENCE_S
) -> tuple[int, str, str]:
    """Run a command to its end; return exit code, stdout, stderr."""
    done = subprocess.run(
        [*LEVADA, *arguments],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def url_of(folder: Path) -> str:
    return str(json.loads((folder / ".levada" / "server.json").read_text())["url"])


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)
