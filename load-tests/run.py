"""Every benchmark of this folder, one after the other: `make bench`."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCENARIOS = ("render", "startup", "shell", "loops", "throughput", "workers", "head_of_line", "indexer")

failed = []
for name in SCENARIOS:
    print(f"\n== {name}", flush=True)
    if subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False).returncode:
        failed.append(name)
if failed:
    sys.exit(f"failed: {', '.join(failed)}")
