"""Whatever a task starts, none of it is left: not after its end, a kill, a timeout, nor after the worker's own death."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from levada.model.errors import Defect
from levada_worker.process.guarded import Child, Ended, Guard

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

DAEMON = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.environ.clear()
print("daemon ready", flush=True)
time.sleep(300)
"""

TREES = {
    "a plain child": "sleep 300",
    "a group": "sleep 300 & sleep 300 & wait",
    "a pipeline": "yes > /dev/null | sleep 300",
    "deaf": "trap '' TERM INT HUP; sleep 300; sleep 300; sleep 300",
    "another session": "setsid sleep 300 & sleep 300",
    "a deaf daemon": f"{sys.executable} -c '{DAEMON}' MARK & sleep 300",
    "a deaf daemon that holds the output": f"{sys.executable} -c '{DAEMON}' MARK; exit 0",
    "forty": "for i in $(seq 40); do sh -c 'trap \"\" TERM; sleep 300' & done; wait",
}


class Tree:
    """A child whose processes can all be found by a marker in their arguments or environment."""

    def __init__(self, guard: Guard, folder: Path, script: str) -> None:
        self.marker = f"mark-{uuid.uuid4().hex}"
        self.output = b""
        env = {"PATH": os.environ["PATH"], "TREE_MARKER": self.marker}
        argv = ["/bin/bash", "-c", f": {self.marker}; {script.replace('MARK', self.marker)}"]
        self.child: Child = guard.start(argv, env=env, cwd=folder, receive=self._receive)

    def _receive(self, stream: str, data: bytes) -> None:
        self.output += data

    def alive(self) -> list[int]:
        return marked(self.marker)


def marked(marker: str) -> list[int]:
    """Return the living processes that carry the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if marker.encode() in text and state not in (b"Z", b"X"):
            found.append(int(entry.name))
    return found


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  other processes are watched
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", TREES)
async def test_stopping_a_task_leaves_no_process(tmp_path: Path, name: str) -> None:
    guard = Guard()
    try:
        tree = Tree(guard, tmp_path, TREES[name])
        await until(lambda: len(tree.alive()) >= 1)
        await asyncio.sleep(0.3)
        tree.child.stop(0.3)
        begun = time.monotonic()
        ended = await tree.child.wait()
        assert tree.alive() == []
        assert time.monotonic() - begun < 5
        assert isinstance(ended, Ended)
        assert ended.survivors == []
    finally:
        guard.close()


async def test_background_processes_end_soon_after_the_command(tmp_path: Path) -> None:
    guard = Guard()
    try:
        tree = Tree(guard, tmp_path, f"{sys.executable} -c '{DAEMON}' MARK; sleep 0.2; echo over")
        ended = await tree.child.wait()
        assert ended.exit_code == 0
        assert ended.left >= 1
        assert tree.alive() == []
        assert tree.output.splitlines()[-1] == b"over"
    finally:
        guard.close()


async def test_two_tasks_do_not_touch_each_others_processes(tmp_path: Path) -> None:
    guard = Guard()
    try:
        one, two = (Tree(guard, tmp_path, TREES["another session"]) for _ in range(2))
        await until(lambda: len(one.alive()) >= 2 and len(two.alive()) >= 2)
        one.child.stop(0)
        await one.child.wait()
        assert one.alive() == []
        assert len(two.alive()) >= 2
        two.child.stop(0)
        await two.child.wait()
    finally:
        guard.close()


async def test_a_fork_bomb_is_ended_while_it_grows(tmp_path: Path) -> None:
    """It ends at 2,047 by itself: root is not held by `ulimit -u`, and a bomb that won would take the machine."""
    guard = Guard()
    try:
        bomb = "f() { sleep 0.05; [ $1 = 0 ] || { f $(($1 - 1)) & f $(($1 - 1)) & }; wait; sleep 300; }; f 10"
        tree = Tree(guard, tmp_path, bomb)
        await until(lambda: len(tree.alive()) > 20)
        tree.child.stop(0)
        await tree.child.wait()
        assert tree.alive() == []
    finally:
        guard.close()


WORKER = """
import asyncio, sys
from pathlib import Path
from levada.model.errors import Defect
from levada_worker.process.guarded import Guard

async def main():
    guard = Guard()
    script = "setsid sleep 300 & sh -c 'trap \\"\\" TERM; sleep 300; sleep 300' & echo up; sleep 300"
    guard.start(["/bin/sh", "-c", script], env={"PATH": "/usr/bin:/bin", "TREE_MARKER": sys.argv[1]}, cwd=Path("/tmp"),
                receive=lambda stream, data: print(data.decode(), flush=True))
    await asyncio.sleep(300)

asyncio.run(main())
"""


def start_worker(marker: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, marker])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_the_death_of_the_worker_ends_its_tasks(number: signal.Signals) -> None:
    marker = f"mark-{uuid.uuid4().hex}"
    worker = start_worker(marker)
    try:
        await until(lambda: len(marked(marker)) >= 5, 20.0)
        worker.send_signal(number)
        worker.wait()
        await until(lambda: marked(marker) == [])
    finally:
        worker.kill()
        worker.wait()


async def test_a_killed_guard_is_replaced_and_its_tasks_go_on(tmp_path: Path) -> None:
    guard = Guard()
    try:
        tree = Tree(guard, tmp_path, "sleep 1; echo survived")
        await until(lambda: tree.child.pid is not None)
        process = guard._process
        assert process is not None
        process.kill()
        process.wait()
        other = Tree(guard, tmp_path, "echo second")
        assert (await other.child.wait()).exit_code == 0
        assert (await tree.child.wait()).exit_code == 0
        assert tree.output == b"survived\n"
    finally:
        guard.close()


async def test_a_supervisor_serves_one_child_after_the_other(tmp_path: Path) -> None:
    guard = Guard()
    try:
        parents = set()
        for number in range(5):
            tree = Tree(guard, tmp_path, f"echo $PPID; exit {number}")
            assert (await tree.child.wait()).exit_code == number
            parents.add(int(tree.output))
        assert len(parents) == 1
        tree.child.stop(0)  # late, and not for the child that follows
        after = Tree(guard, tmp_path, "sleep 0.3; echo fine")
        assert (await after.child.wait()).exit_code == 0
        os.kill(parents.pop(), signal.SIGKILL)
        await asyncio.sleep(0.1)
        assert (await Tree(guard, tmp_path, "true").child.wait()).exit_code == 0
    finally:
        guard.close()


async def test_a_killed_supervisor_takes_its_child_along_and_says_so(tmp_path: Path) -> None:
    guard = Guard()
    try:
        tree = Tree(guard, tmp_path, "echo $PPID; exec sleep 300")
        await until(lambda: b"\n" in tree.output)
        os.kill(int(tree.output), signal.SIGKILL)
        with pytest.raises(Defect, match="supervisor of the process was killed"):
            await tree.child.wait()
        await until(lambda: tree.alive() == [])
    finally:
        guard.close()
