"""The guard: the program that starts the children of a worker and answers for their ends. Not imported by the worker.

The worker starts one guard and asks it, over a socket, for *supervisors*: processes that run one child at a time, as many
one after the other as the worker likes, each over a socket of its own. A supervisor is the reaper of all its descendants
and starts every command in a session of its own. So every process that a task ever makes, double-forked or in another
session, stays a descendant of that task's supervisor alone, which can end all of them and know that none is left. It
reports the end, and takes the next command, only then.

Who dies when: the command is killed with its supervisor (PR_SET_PDEATHSIG); the supervisor kills the whole tree when the
worker's end of its socket closes, that is also when the worker was killed with SIGKILL; the guard ends with its worker.

Only the standard library, few imports, one thread: it forks often and must stay small. It must never write to its own
stdout. To a supervisor a request is a JSON line {"argv", "env", "cwd"} with two descriptors; while the command runs, orders
are the lines `term SECONDS` (ask, then kill after the grace) and `kill`. It answers with JSON lines: {"pid"}, then at the
end {"exit", "left", "survivors", "cpu", "memory"}; or {"error"} when the command cannot be started.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NoReturn, Self

Control = Callable[[int, int], None]

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LINGER_S = 1.0
"""How long background processes may go on after the command itself has ended."""
KILL_DEADLINE_S = 30.0
"""After this, processes that SIGKILL does not end (stuck in the kernel) are reported as survivors."""
FAILED_TO_START = 127


def main(handle: int) -> None:
    """Fork a supervisor for every socket that arrives, until the worker closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = prctl()
    asked = socket.socket(fileno=handle)
    gc.disable()
    gc.freeze()
    while True:
        data, fds = receive(asked)
        if not data:
            return
        for channel in fds:
            if os.fork() == 0:
                asked.close()
                code = FAILED_TO_START
                try:
                    serve(socket.socket(fileno=channel), control)
                    code = 0
                finally:
                    os._exit(code)
            os.close(channel)


def receive(source: socket.socket) -> tuple[bytes, list[int]]:
    """Return what arrived and the descriptors that came with it; nothing at all when the worker has gone."""
    try:
        data, fds, _, _ = socket.recv_fds(source, 65536, 16)
    except OSError:
        return b"", []
    return data, fds


def serve(worker: socket.socket, control: Control) -> None:
    """Run command after command until the worker closes the socket. Runs in the forked supervisor."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.set_inheritable(worker.fileno(), False)
    control(PR_SET_CHILD_SUBREAPER, 1)
    pending = b""
    fds: list[int] = []
    while True:
        while b"\n" not in pending:
            data, came = receive(worker)
            if not data:
                return
            pending += data
            fds += came
        line, _, pending = pending.partition(b"\n")
        if not line.startswith(b"{"):
            continue  # an order for a command that ended in the same moment
        for fd in fds:
            os.set_inheritable(fd, False)
        if not supervise(json.loads(line), fds, worker, control):
            return
        fds = []


def supervise(request: dict[str, Any], fds: list[int], worker: socket.socket, control: Control) -> bool:
    """Start the command, wait for its end or an order, end everything below, report; return whether all is well."""
    stdout, stderr = fds
    failed, report_failure = os.pipe()
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        start(request, (stdout, stderr, report_failure), control, me)
    os.close(report_failure)
    os.close(stdout)
    os.close(stderr)
    problem = os.read(failed, 4096)
    os.close(failed)
    if problem:
        os.waitpid(pid, 0)
        send(worker, {"error": problem.decode(errors="replace")})
        return True
    send(worker, {"pid": pid})
    tree = Tree(pid)
    left = watch(tree, worker)
    end = {"exit": tree.code, "left": left, "survivors": tree.survivors, "cpu": tree.cpu, "memory": tree.memory}
    send(worker, end)
    return not tree.survivors


def start(request: dict[str, Any], fds: tuple[int, int, int], control: Control, supervisor: int) -> NoReturn:
    """Become the command. Never returns. Runs in the forked child."""
    stdout, stderr, report_failure = fds
    try:
        os.setsid()
        control(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(FAILED_TO_START)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        prefer_as_victim()
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGCHLD, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(request["cwd"])
        environment = request["env"]
        argv = request["argv"]
        search = environment.get("PATH", os.defpath)
        execute(argv, environment, search)
    except BaseException as problem:  # noqa: BLE001  whatever it is, the worker gets to read it
        detail = problem.strerror if isinstance(problem, OSError) and problem.strerror else repr(problem)
        where = f": {problem.filename}" if isinstance(problem, OSError) and problem.filename else ""
        os.write(report_failure, (detail + where).encode(errors="replace")[:4096])
    finally:
        os._exit(FAILED_TO_START)


def execute(argv: list[str], environment: dict[str, str], search: str) -> NoReturn:
    """Replace this process by the program, looked up in the child's own PATH."""
    if "/" in argv[0]:
        os.execve(argv[0], argv, environment)
    found = None
    for folder in search.split(os.pathsep):
        try:
            os.execve(os.path.join(folder or ".", argv[0]), argv, environment)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as problem:
            found = problem
    raise found or FileNotFoundError(2, "No such file or directory", argv[0])


def prefer_as_victim() -> None:
    """When memory runs out, the kernel shall end the task before the worker."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass  # not Linux, or not allowed: only a preference


def watch(tree: "Tree", worker: socket.socket) -> int:
    """Wait until everything has ended; obey orders. Returns how many background processes had to be killed."""
    with Wakeup(tree.pid) as wakeup:
        return follow(tree, worker, wakeup)


def follow(tree: "Tree", worker: socket.socket, wakeup: "Wakeup") -> int:
    poll = select.poll()
    poll.register(worker, select.POLLIN)
    poll.register(wakeup.handle, select.POLLIN)
    kill_at: float | None = None
    linger_until: float | None = None
    while not tree.reap():
        if tree.code is not None and linger_until is None:
            linger_until = time.monotonic() + LINGER_S
            wakeup.ended(poll)
        deadlines = [at for at in (kill_at, linger_until) if at is not None]
        # Once the command has ended there is no event for its descendants' ends: look often, but not for long.
        wait_ms = None if not deadlines else 10 if tree.code is not None else left_ms(min(deadlines))
        ready = {handle for handle, _ in poll.poll(wait_ms)}
        if worker.fileno() in ready:
            order = read_order(worker)
            if order is None:
                return tree.kill()
            kill_at = time.monotonic() + order
            tree.ask()
        now = time.monotonic()
        if kill_at is not None:
            if now >= kill_at:
                return tree.kill()
        elif linger_until is not None and now >= linger_until:
            return tree.kill()
    return 0


def left_ms(at: float) -> int:
    return max(0, int((at - time.monotonic()) * 1000) + 1)


def read_order(worker: socket.socket) -> float | None:
    """Return the grace in seconds, or None for: kill at once (also when the worker is gone)."""
    try:
        data = worker.recv(4096)
    except OSError:
        return None
    last = data.decode(errors="replace").strip().rpartition("\n")[2].split()
    if len(last) != 2 or last[0] != "term":
        return None
    grace = float(last[1])
    return grace if grace > 0 else None


class Wakeup:
    """Something to poll that becomes readable when the command has ended."""

    def __init__(self, pid: int) -> None:
        self.open: list[int] = []
        if hasattr(os, "pidfd_open"):
            self.handle = os.pidfd_open(pid)
        else:
            self.handle, write = os.pipe()
            self.open.append(write)
            os.set_blocking(write, False)
            signal.signal(signal.SIGCHLD, lambda number, frame: None)
            signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self.open.append(self.handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if len(self.open) > 1:
            signal.set_wakeup_fd(-1)
        for handle in self.open:
            os.close(handle)

    def ended(self, poll: select.poll) -> None:
        """The command has been reaped: its descriptor would be readable for ever."""
        poll.unregister(self.handle)


class Tree:
    """The command and all its descendants."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self.cpu = 0.0
        self.memory = 0
        self.survivors: list[int] = []

    def reap(self) -> bool:
        """Collect whoever has ended; return whether nobody is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self.cpu += usage.ru_utime + usage.ru_stime
            self.memory = max(self.memory, usage.ru_maxrss)
            if pid == self.pid:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code

    def ask(self) -> None:
        """Send SIGTERM to everybody: to the group at once, to those that left it one by one."""
        signal_all(descendants() or [self.pid], signal.SIGTERM)

    def kill(self) -> int:
        """End everybody by force; return how many there were."""
        deadline = time.monotonic() + KILL_DEADLINE_S
        killed: set[int] = set()
        while not self.reap():
            frozen: set[int] = set()
            while fresh := set(descendants()) - frozen:
                signal_all(fresh, signal.SIGSTOP)
                frozen |= fresh
            if not frozen and self.code is None:
                frozen = {self.pid}
            signal_all(frozen, signal.SIGKILL)
            if self.code is None:
                with suppress(OSError):  # the group may be empty already
                    os.killpg(self.pid, signal.SIGKILL)
            killed |= frozen
            if time.monotonic() > deadline:
                self.survivors = sorted(descendants())
                break
            time.sleep(0.002)
        return len(killed - {self.pid})


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(OSError):  # it ended meanwhile
            os.kill(pid, number)


def descendants() -> list[int]:
    """Return the ids of all living processes below this one (Linux; elsewhere none)."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] not in (b"Z", b"X"):
            children.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    pending = [os.getpid()]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def send(worker: socket.socket, message: dict[str, Any]) -> None:
    with suppress(OSError):  # the worker may be gone; the tree is dead all the same
        worker.sendall(json.dumps(message).encode() + b"\n")


def prctl() -> Control:
    """Return the system call, or a function that does nothing where there is none."""
    if not sys.platform.startswith("linux"):
        return lambda option, value: None
    import ctypes

    call = ctypes.CDLL(None, use_errno=True).prctl

    def control(option: int, value: int) -> None:
        call(option, int(value), 0, 0, 0)

    return control


if __name__ == "__main__":
    main(int(sys.argv[1]))
