"""The worker's side of the guard: start a child, read what it prints, stop it, learn how it ended.

No thread and no polling: pipes and the supervisor's socket are watched by the event loop. The guard process is started
with the first child and again should it ever die. See guard.py for what it does.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from levada.model.errors import Defect, UserError

GUARD = Path(__file__).with_name("guard.py")
READ_BYTES = 64 * 1024
IDLE_MAX = 64
DRAIN_S = 2.0
"""How long output may still be read after everything of the child has ended (nobody can be writing any more)."""

Receive = Callable[[str, bytes], None]


class CannotStart(UserError):
    """The program could not be started."""


class Ended(msgspec.Struct, frozen=True):
    """How a child ended. `exit_code` is 128 + N after signal N; `left` counts background processes that were killed.

    `cpu` is seconds of processor time, `memory` the largest resident size of one process in bytes.
    """

    exit_code: int
    left: int
    survivors: list[int]
    cpu: float
    memory: int


class Guard:
    """The guard process of this worker, and the supervisors that wait for their next child."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._idle: list[socket.socket] = []

    def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, receive: Receive) -> "Child":
        """Ask for a child; `receive(stream, data)` gets what it prints ("stdout" or "stderr"), b"" at the end."""
        if any("\x00" in text for text in (*argv, *env, *env.values())):
            raise CannotStart("a command, argument or environment variable has a NUL character")
        request = json.dumps({"argv": list(argv), "env": dict(env), "cwd": str(cwd)}).encode() + b"\n"
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        try:
            channel = self._ask(request, [out_write, err_write])
        except BaseException:
            os.close(out_read)
            os.close(err_read)
            raise
        finally:
            os.close(out_write)
            os.close(err_write)
        return Child(channel, {"stdout": out_read, "stderr": err_read}, receive, self._release)

    def close(self) -> None:
        """End the guard and idle supervisors; of children that still run, their supervisors take care."""
        for channel in self._idle:
            channel.close()
        self._idle.clear()
        self._stop_process()

    def _ask(self, request: bytes, fds: list[int]) -> socket.socket:
        """Hand the request to a supervisor; return the socket to it."""
        while self._idle:
            channel = self._idle.pop()
            try:
                _send(channel, request, fds)
            except OSError:
                channel.close()  # this supervisor was killed; the next one
            else:
                return channel
        channel = self._supervisor()
        _send(channel, request, fds)
        return channel

    def _release(self, channel: socket.socket) -> None:
        if len(self._idle) < IDLE_MAX and self._requests is not None:
            self._idle.append(channel)
        else:
            channel.close()

    def _supervisor(self) -> socket.socket:
        for last_try in (False, True):
            ours, theirs = socket.socketpair()
            try:
                with theirs:
                    socket.send_fds(self._connection(), [b"+"], [theirs.fileno()])
            except OSError as problem:
                ours.close()
                self._stop_process()
                if last_try:
                    raise Defect("the guard of child processes does not take requests") from problem
            else:
                return ours
        raise Defect("unreachable")

    def _stop_process(self) -> None:
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _connection(self) -> socket.socket:
        if self._requests is not None and self._process is not None and self._process.poll() is None:
            return self._requests
        self._stop_process()
        ours, theirs = socket.socketpair()
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={"PATH": os.defpath},
                cwd="/",
                start_new_session=True,
            )
        self._requests = ours
        return ours


def _send(channel: socket.socket, request: bytes, fds: list[int]) -> None:
    channel.setblocking(True)
    sent = socket.send_fds(channel, [request], fds)
    channel.sendall(request[sent:])
    channel.setblocking(False)


class Child:
    """One running child. `wait` must be awaited; it returns when nothing of the child is left."""

    def __init__(
        self,
        channel: socket.socket,
        pipes: Mapping[str, int],
        receive: Receive,
        release: Callable[[socket.socket], None],
    ) -> None:
        """`release` gets the socket back when its supervisor is ready for the next child."""
        self.pid: int | None = None
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._receive = receive
        self._release = release
        self._pipes = dict(pipes)
        self._held: set[str] = set()
        self._message = b""
        self._end: dict[str, Any] | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._drained: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(channel.fileno(), self._on_channel)
        for stream, pipe in self._pipes.items():
            os.set_blocking(pipe, False)
            self._loop.add_reader(pipe, self._on_pipe, stream)

    async def wait(self) -> Ended:
        """Wait for the end of the child and all its descendants and for their output. Raises CannotStart."""
        try:
            await asyncio.shield(self._ended)
            try:
                while self._held:  # output that nobody takes yet is no reason to lose it
                    await asyncio.wait([self._drained], timeout=0.05)
                async with asyncio.timeout(DRAIN_S):
                    await asyncio.shield(self._drained)
            except TimeoutError:
                self._close_pipes()
        finally:
            if self._ended.done():
                self._close_pipes()
        return self._result()

    def stop(self, grace_s: float) -> None:
        """Ask the whole tree to end and kill what is left of it after `grace_s` (0: at once). Does not wait."""
        if self._ended.done():
            return  # the socket may serve another child by now
        order = b"term %.3f\n" % grace_s if grace_s > 0 else b"kill\n"
        try:
            self._channel.send(order)
        except OSError:
            return  # the supervisor has just ended by itself; its end is being read

    def hold(self) -> None:
        """Stop reading: the child blocks once its pipes are full."""
        for stream, pipe in self._pipes.items():
            if stream not in self._held:
                self._loop.remove_reader(pipe)
                self._held.add(stream)

    def go_on(self) -> None:
        """Read again after `hold`."""
        for stream in self._held & self._pipes.keys():
            self._loop.add_reader(self._pipes[stream], self._on_pipe, stream)
        self._held.clear()

    def _on_pipe(self, stream: str) -> None:
        pipe = self._pipes[stream]
        try:
            data = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._close_pipe(stream)
        self._receive(stream, data)

    def _close_pipe(self, stream: str) -> None:
        pipe = self._pipes.pop(stream)
        if stream not in self._held:
            self._loop.remove_reader(pipe)
        self._held.discard(stream)
        os.close(pipe)
        if not self._pipes and not self._drained.done():
            self._drained.set_result(None)

    def _close_pipes(self) -> None:
        for stream in list(self._pipes):
            self._close_pipe(stream)
            self._receive(stream, b"")

    def _on_channel(self) -> None:
        try:
            data = self._channel.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._message += data
        while b"\n" in self._message:
            line, _, self._message = self._message.partition(b"\n")
            self._on_message(json.loads(line))
        if not data or self._end is not None:
            self._finish(gone=not data)

    def _on_message(self, message: dict[str, Any]) -> None:
        if "pid" in message:
            self.pid = message["pid"]
        else:
            self._end = message

    def _finish(self, *, gone: bool) -> None:
        self._loop.remove_reader(self._channel.fileno())
        if gone or self._end is None or self._end.get("survivors"):
            self._channel.close()
        else:
            self._release(self._channel)
        if not self._ended.done():
            self._ended.set_result(None)

    def _result(self) -> Ended:
        end = self._end
        if end is None:
            self._kill_orphans()
            raise Defect("the supervisor of the process was killed, so how the process ended is not known")
        if "error" in end:
            raise CannotStart(end["error"])
        return Ended(end["exit"], end["left"], end["survivors"], end["cpu"], end["memory"] * 1024)

    def _kill_orphans(self) -> None:
        """Without a supervisor the group of the command is all that can still be reached."""
        if self.pid is not None:
            try:
                os.killpg(self.pid, 9)
            except ProcessLookupError:
                return
