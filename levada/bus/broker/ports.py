"""Port numbers for servers on this machine.

Not port 0: a broker has to be told its number before it starts and keeps it over restarts. And not from the range that the
kernel takes for outgoing connections: while a broker there is down, a client that keeps trying to reach it may be given that
very number for its own end, and then talks to itself.
"""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path

from levada.bus.broker.errors import BrokerError

LOWEST = 20_000
TRIES = 200


def free(host: str, count: int) -> list[int]:
    """Return different port numbers that nobody listens on now."""
    found: list[int] = []
    # A generator of our own: two processes that seeded theirs alike must not choose alike.
    draw = random.SystemRandom()
    highest = _first_outgoing() - 1
    for _ in range(TRIES * count):
        port = draw.randint(LOWEST, highest)
        if port not in found and is_free(host, port):
            found.append(port)
            if len(found) == count:
                return found
    raise BrokerError(f"found no {count} free ports between {LOWEST} and {highest} on {host}")


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now; also true for an address that is not of this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL
    return True


def _first_outgoing() -> int:
    try:
        return max(int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]), LOWEST + 1_000)
    except (OSError, ValueError):
        return 32_768
