"""How long a warm start takes until /health answers, and what the idle process holds in memory."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import server as servers


def main() -> None:
    print(servers.machine())
    data = Path(tempfile.mkdtemp(prefix="levada-bench-"))
    try:
        first = servers.start(data)
        servers.stop(first)
        print(f"first start (database made): /health after {first.started_s:.2f} s")
        warm = []
        for _ in range(5):
            server = servers.start(data)
            warm.append(server.started_s)
            time.sleep(1)
            idle = server.rss_mib()
            servers.stop(server)
        warm.sort()
        print(f"warm start: /health after min {warm[0]:.2f} s, median {warm[2]:.2f} s")
        print(f"idle Python process: {idle:.0f} MiB resident")
    finally:
        shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
