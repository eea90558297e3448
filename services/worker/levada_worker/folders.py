"""The folder of a worker's working directories: made when it starts, removed when it ends, by itself or by the next one."""

import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "levada-worker-"


def temporary(parent: Path | None) -> Path:
    """Make the folder of this worker's working directories; remove those of workers that died without doing so."""
    base = Path(parent or tempfile.gettempdir())
    base.mkdir(parents=True, exist_ok=True)
    for left in base.glob(f"{PREFIX}*-*"):
        owner = left.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not left.is_symlink() and left.stat().st_uid == os.getuid() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
