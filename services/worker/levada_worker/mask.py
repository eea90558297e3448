"""Hiding secrets in what is shown: log lines, error messages, metrics.

A `Masker` belongs to one attempt and learns every secret the moment an expression reads it. It hides the plain text and
the forms in which tools print it: base64 (also inside a longer encoded text), URL encoding, JSON and shell escaping, hex,
and each line of a text of several lines, because logs are written line by line.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

from levada.expr.taint import MASK

#: Shorter texts would blank half of every line, and are guessed faster than they are read in a log.
PLAIN_MIN_CHARS = 3
DERIVED_MIN_CHARS = 5


class Masker:
    """Not shared between attempts: what is secret in one flow may be an ordinary word in another."""

    def __init__(self) -> None:
        self._needles: set[str] = set()
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._stale = False

    def add(self, secrets: Iterable[str]) -> None:
        """Hide these texts from now on."""
        for secret in secrets:
            if secret not in self._known:
                self._known.add(secret)
                self._needles.update(forms(secret))
                self._stale = True

    def hide(self, text: str) -> str:
        """Return `text` with every secret replaced by `******`."""
        if self._stale:
            longest_first = sorted(self._needles, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
            self._stale = False
        return text if self._pattern is None else self._pattern.sub(MASK, text)


def forms(secret: str) -> set[str]:
    """Return the texts in which `secret` may show up."""
    found: set[str] = set()
    pieces = [secret, secret.strip()]
    lines = [line.strip() for line in secret.splitlines()]
    if len(lines) > 1:
        pieces += [line for line in lines if len(line) >= DERIVED_MIN_CHARS]
    for piece in pieces:
        if len(piece) >= PLAIN_MIN_CHARS:
            found.add(piece)
        if len(piece) >= DERIVED_MIN_CHARS:
            found |= _derived(piece)
    return found


def _derived(text: str) -> set[str]:
    data = text.encode("utf-8", "surrogatepass")
    found = {
        quote(text, safe="", errors="replace"),
        quote(text, errors="replace"),
        quote_plus(text, errors="replace"),
        quote(text, safe="", errors="replace").lower(),
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(text))[3:-3],
        text.replace("'", "'\\''"),
        text.replace("'", "'\"'\"'"),
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        data.hex(),
        data.hex().upper(),
    }
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found |= _base64(data, encode)
    return {form for form in found if len(form) >= DERIVED_MIN_CHARS}


def _base64(data: bytes, encode: Callable[[bytes], bytes]) -> set[str]:
    """The encoded text at each of the three alignments it can have inside a longer one, without the shared edges."""
    found = {encode(data).decode().rstrip("=")}
    for before in (1, 2):
        whole = encode(b"\0" * before + data).decode().rstrip("=")
        inner = whole[before + 1 :]
        if (before + len(data)) % 3:
            inner = inner[:-1]
        if len(inner) >= DERIVED_MIN_CHARS:
            found.add(inner)
    if len(data) % 3:
        found.add(encode(data).decode().rstrip("=")[:-1])
    return found
