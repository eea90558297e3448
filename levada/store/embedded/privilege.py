"""How to start a server that refuses to run as root, when we are root.

As an ordinary user there is nothing to do. As root there are two ways, tried in this order:

1. A user namespace in which root is shown as an unprivileged user. The files stay root's own, in folders only root may
   enter; nothing on the machine changes.
2. Where the kernel forbids namespaces (some containers): drop to another user, which must be able to reach the data
   folder and the programs. Programs out of its reach (a virtual environment under a private home folder) are hard-linked
   to a folder it can read. Permissions of existing folders outside our own are never widened.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from levada.store.embedded.errors import EmbeddedPostgresError

SHOWN_UID = 65534
"""The user id that root has inside the namespace: anything but 0 would do."""

PROBE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Launcher:
    """What stands before a command, and the user that runs it (None: the one we are)."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def probe(self, command: list[str]) -> str | None:
        """Run a short command and return its standard output, or None when it failed. Blocks for its few milliseconds."""
        try:
            done = subprocess.run(
                [*self.prefix, *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd="/",
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
                timeout=PROBE_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None

    def reaches(self, folder: Path) -> bool:
        """Whether programs started this way may enter `folder` and write there."""
        return self.probe(["test", "-x", str(folder), "-a", "-w", str(folder)]) is not None


def launchers(home: Path, run_as: str | None) -> Iterator[Launcher]:
    """Yield the ways to start a server whose files are in `home`, best first; `run_as` names the user to drop to."""
    if os.geteuid() != 0:
        yield Launcher()
        return
    unshare = shutil.which("unshare")
    if unshare is not None and run_as is None:
        yield Launcher((unshare, "--user", f"--map-user={SHOWN_UID}", "--"))
    yield _other_user(home, run_as)


def own(launcher: Launcher, folder: Path) -> None:
    """Give `folder` and what is in it to the user that the launcher runs programs as. Only root has anything to do."""
    if os.geteuid() != 0:
        return
    uid, gid = launcher.uid or 0, launcher.gid or 0
    if folder.lstat().st_uid == uid:
        return
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.lchown(os.path.join(parent, name), uid, gid)
    os.lchown(folder, uid, gid)  # last: its owner is the mark that all the rest is done


def reachable_copy(launcher: Launcher, binaries: Path) -> Path | None:
    """Return a folder of the same programs that the launcher can run, or None when copying cannot help.

    Hard links where the file system allows them, copies elsewhere: about 30 MB.
    """
    if launcher.uid is None:
        return None
    install = binaries.parent
    target = Path(tempfile.gettempdir()) / f"levada-programs-{install.stat().st_ino:x}-{install.stat().st_mtime_ns:x}"
    if not _is_roots_own(target):
        scratch = Path(tempfile.mkdtemp(prefix="levada-programs-"))
        for tree in (install, *install.parent.parent.glob(f"{install.parent.name}.libs")):
            place = scratch / tree.relative_to(install.parent.parent)  # the libraries must stay siblings of the package
            shutil.copytree(tree, place, symlinks=True, copy_function=_link_or_copy, ignore=_not_needed)
        for folder in (scratch, *(path for path in scratch.rglob("*") if path.is_dir() and not path.is_symlink())):
            folder.chmod(0o755)
        scratch.rename(target)
    return target / binaries.relative_to(install.parent.parent)


def unreachable(home: Path) -> EmbeddedPostgresError:
    """Return the error for a data folder that no user but root can reach, naming the folder in the way."""
    closed = [folder for folder in reversed(home.parents) if not folder.stat().st_mode & stat.S_IXOTH]
    where = f"{closed[0]} is closed to other users" if closed else f"{home} cannot be written by other users"
    return EmbeddedPostgresError(
        f"running as root, and this kernel allows no user namespaces, so PostgreSQL has to run as another user; but {where}. "
        f"Choose a data folder such as /var/lib/levada (--data-dir), or start Levada as an ordinary user, or set "
        f"LEVADA_DATABASE_URL to a server that runs already."
    )


def _other_user(home: Path, run_as: str | None) -> Launcher:
    """The named user, else the owner of the folder we are in when that is a person (sudo), else `nobody`."""
    if run_as is not None:
        try:
            entry = pwd.getpwuid(int(run_as)) if run_as.isdigit() else pwd.getpwnam(run_as)
        except KeyError:
            raise EmbeddedPostgresError(f"there is no user {run_as!r} on this machine to run PostgreSQL as.") from None
        return Launcher(uid=entry.pw_uid, gid=entry.pw_gid)
    owner = home.parent.stat()
    if owner.st_uid != 0:
        return Launcher(uid=owner.st_uid, gid=owner.st_gid)
    return Launcher(uid=SHOWN_UID, gid=SHOWN_UID)


def _is_roots_own(folder: Path) -> bool:
    """Whether the folder exists and nobody but root can have filled it."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return True
    raise EmbeddedPostgresError(
        f"{folder} exists and is not root's own folder; remove it, PostgreSQL is not started from it."
    )


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _not_needed(_: str, names: list[str]) -> set[str]:
    return {"include"} & set(names)
