"""From the bytes that a process prints to lines of text, with bounded memory.

A line of any length costs at most its cap: the rest is counted and thrown away as it arrives, and the line says so. Lines
of the `::{…}::` protocol carry outputs and get a larger cap. Text that is not UTF-8 and NUL characters are replaced.
"""

MARKUP_START = b"::{"


class Lines:
    """The lines of one stream. `cap` and `markup_cap` are bytes."""

    def __init__(self, cap: int, markup_cap: int) -> None:
        self._cap = cap
        self._markup_cap = markup_cap
        self._rest = b""
        self._dropped = 0

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes; empty `data` is the end of the stream and completes the last one."""
        if not data:
            return [self._line(self._rest)] if self._rest or self._dropped else []
        *whole, rest = data.split(b"\n")
        lines = []
        for piece in whole:
            if self._rest or self._dropped:
                self._keep(piece)
                lines.append(self._line(self._rest))
            else:
                lines.append(self._line(piece))
        if rest:
            self._keep(rest)
        return lines

    def _keep(self, piece: bytes) -> None:
        joined = self._rest + piece
        cap = self._cap_of(joined)
        self._dropped += max(0, len(joined) - cap)
        self._rest = joined[:cap]

    def _line(self, raw: bytes) -> str:
        cap = self._cap_of(raw)
        dropped = self._dropped + max(0, len(raw) - cap)
        self._rest, self._dropped = b"", 0
        text = raw[:cap].removesuffix(b"\r").decode("utf-8", "replace")
        if "\x00" in text:
            text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        return f"{text}… [line cut: {dropped:,} bytes more]" if dropped else text

    def _cap_of(self, raw: bytes) -> int:
        return self._markup_cap if raw.startswith(MARKUP_START) else self._cap
