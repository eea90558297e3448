"""Where bodies go that are too large for a message: the claim-check.

The message then carries the reference, and whoever reads it fetches the body before it sees the record. Names are made
from the content, so writing the same body twice leaves one blob. A blob may go once the topic's retention has passed
(levada/runtime/old_bodies.py).
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from levada.model.errors import LevadaError


class BlobMissing(LevadaError):
    """The blob is not there, and asking again will not bring it."""


class BlobStore(Protocol):
    """Raises Transient when the storage is away."""

    async def put(self, name: str, body: bytes) -> str:
        """Store durably under a name of letters, digits, `-` and `/`; return the reference by which to read it."""

    async def read(self, reference: str) -> bytes:
        """Return the body. Raises BlobMissing when there is none."""


def name_of(topic: str, body: bytes) -> str:
    """Return the name under which the body of a record of `topic` is stored."""
    return f"{topic}/{hashlib.sha256(body).hexdigest()}"
