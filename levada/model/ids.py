"""Identifiers: how the things of a flow may be named, and how ids of executions and task runs are made.

An execution's id is drawn by whoever accepts the start (levada/runtime/clock.py); ids of what happens *inside* an
execution are derived from it, so that the engine needs no randomness and a replayed command makes the same ids.
"""

import hashlib
import re
import zlib

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 22

FLOW_ID = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$")
FLOW_ID_MAX = 100
NAMESPACE = re.compile(r"^[a-z0-9][a-z0-9._-]*$")
NAMESPACE_MAX = 150
TASK_ID = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_-]*$")
TASK_ID_MAX = 256
INPUT_ID = re.compile(r"^[a-zA-Z0-9][.a-zA-Z0-9_-]*$")


_PAIRS = [one + other for one in _ALPHABET for other in _ALPHABET]
_TWO, _FOUR = 62**2, 62**4


def base62(data: bytes) -> str:
    """Return 16 bytes as 22 characters of [0-9A-Za-z]; the order of the bytes is the order of the text.

    Four digits at a time, divided by numbers that fit one digit of Python's own: ids are made for every task run.
    """
    number = int.from_bytes(data, "big")
    out: list[str] = []
    for _ in range(5):
        number, four = divmod(number, _FOUR)
        out += (_PAIRS[four % _TWO], _PAIRS[four // _TWO])
    out.append(_PAIRS[number])
    out.reverse()
    return "".join(out)


def derive(parent: str, *parts: object) -> str:
    """Return the id of the thing that `parts` name inside `parent`: the same arguments give the same id."""
    text = "\x1f".join((parent, *map(str, parts)))
    return base62(hashlib.blake2b(text.encode(), digest_size=16).digest())


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key: CRC-32 modulo, the same in every process and adapter."""
    return zlib.crc32(key.encode()) % partitions
