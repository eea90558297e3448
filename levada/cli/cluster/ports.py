"""Port numbers for processes that must find their port free again after a restart.

A number that the kernel gave away (port 0) comes from the range out of which it also takes the local ends of outgoing
connections: while a service is down, any connection of the machine may sit on its port, and the restart fails. So the
numbers are taken from below that range, in blocks. Whoever listens on the first number of a block owns the block; that
listening socket is kept, so two clusters on one machine, and two test runs, never share numbers.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Self

from levada.cli.failures import CannotStart

FIRST, END = 12_000, 20_000
"""Below the ephemeral ports of every system and the ports that local brokers draw, above what well-known servers use."""

BLOCK = 100
HOST = "127.0.0.1"


class PortBlock:
    """A block of numbers on loopback. `take` gives free ones; `close` gives the block back."""

    def __init__(self, lock: socket.socket) -> None:
        self._lock = lock
        first = int(lock.getsockname()[1])
        self._next: Iterator[int] = iter(range(first + 1, first + BLOCK))

    @classmethod
    def reserve(cls, seed: int) -> Self:
        """Return a block that nobody owns; `seed` decides where the search begins. Raises CannotStart."""
        blocks = (END - FIRST) // BLOCK
        for step in range(blocks):
            lock = _listening(FIRST + (seed + step) % blocks * BLOCK)
            if lock is not None:
                return cls(lock)
        raise CannotStart(f"no block of {BLOCK} free ports between {FIRST} and {END} on {HOST}")

    def take(self) -> int:
        """Return the next number on which nobody listens. Raises CannotStart when the block is used up."""
        for port in self._next:
            probe = _listening(port)
            if probe is not None:
                probe.close()
                return port
        raise CannotStart(f"all {BLOCK} ports of the block are in use; a cluster this large needs another machine")

    def close(self) -> None:
        self._lock.close()


def _listening(port: int) -> socket.socket | None:
    try:
        return socket.create_server((HOST, port))
    except OSError:
        return None
