"""Plays the conformance cases against a Levada started for it: `make conformance [ARGS="--group execution --id REGEX"]`.

The cases and their runner live outside of the repository (LEVADA_CONFORMANCE_DIR, default ../shared/conformance). The server
gets the configuration that the cases name: secrets, prefix of environment variables, globals, an encryption key. Prints the
runner's own report; `--json FILE` and every other option of the runner pass through.
"""

from __future__ import annotations

import argparse
import base64
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENCRYPTION_KEY = "I6EGNzRESu3X3pKZidrqCGOHQFUFC0yK"
HAVE = (
    "config:kestra.encryption.secret-key",
    "config:listeners enabled",
    "config:kestra.url=http://localhost:8081",
    "env:SECRET_WEBHOOK_KEY",
    "env:SECRET_MY_SECRET",
    "env:KESTRA_TEST1",
    "env:KESTRA_TEST2",
)
GLOBALS = '{"string": "string", "int": 1, "bool": true, "nested": {"int": 2}}'


def folder() -> Path:
    """Where the cases are."""
    return Path(os.environ.get("LEVADA_CONFORMANCE_DIR", ROOT / ".." / "shared" / "conformance")).resolve()


def environment(port: int) -> dict[str, str]:
    """What the cases need to be configured, on top of this process's environment."""

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    long = encoded("passwordveryveryveyrlong" * 5)
    return {
        **os.environ,
        "LEVADA_PORT": str(port),
        "LEVADA_MANAGEMENT_PORT": "0",
        "LEVADA_SERVER_URL": "http://localhost:8081",
        "LEVADA_ENCRYPTION_KEY": base64.b64encode(ENCRYPTION_KEY.encode()).decode(),
        "LEVADA_VARIABLES_ENV_VARS_PREFIX": "KESTRA_",
        "LEVADA_VARIABLES_GLOBALS": GLOBALS,
        "LEVADA_LOG_LEVEL": os.environ.get("LEVADA_LOG_LEVEL", "warning"),
        "SECRET_MY_SECRET": encoded('{"secretKey":"secretValue"}'),
        "SECRET_NEW_LINE": "\n".join(long[n : n + 76] for n in range(0, len(long), 76)),
        "SECRET_WEBHOOK_KEY": encoded("secretKey"),
        "SECRET_PASSWORD": encoded("password"),
        "KESTRA_TEST1": "true",
        "KESTRA_TEST2": "Pass by env",
    }


def start(data: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers. Raises SystemExit when it does not."""
    command = [sys.executable, "-m", "levada", "standalone", "--port", str(port), "--data-dir", str(data)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment(port), stdout=out, stderr=out, cwd=data)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
            return process
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise SystemExit(f"the server did not start:\n{log.read_text()[-3000:]}")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def play(port: int, arguments: list[str]) -> int:
    """Run the runner against the server and return its exit status."""
    have = [option for name in HAVE for option in ("--have", name)]
    command = [sys.executable, str(folder() / "run.py"), "--base-url", f"http://127.0.0.1:{port}", *have, *arguments]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=18080, help="0: any free one")
    parser.add_argument("--server-log", type=Path, default=Path(tempfile.gettempdir()) / "levada-conformance.log")
    options, passed = parser.parse_known_args()
    if not (folder() / "run.py").is_file():
        print(f"no conformance cases in {folder()}: set LEVADA_CONFORMANCE_DIR")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # or the server would be left behind
    with tempfile.TemporaryDirectory(prefix="levada-conformance-") as data:
        port = options.port or free_port()
        server = start(Path(data), port, options.server_log)
        try:
            return play(port, passed)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)


if __name__ == "__main__":
    sys.exit(main())
