"""What the database complains about, as a text for the person who wrote the SQL."""

from levada.plugins.jdbc.sql import Bound, column_of, line_of

SHOWN_CHARS = 120


def explain(error: BaseException, sql: str | None = None, start: int = 0, bound: Bound | None = None) -> str:
    """Return the message with SQLSTATE, detail, hint, and the place in the SQL.

    `sql` is the text as the user wrote it, `start` where the failing statement begins in it, `bound` what was really sent.
    """
    state = getattr(error, "sqlstate", None)
    text = str(getattr(error, "message", None) or error) or type(error).__name__
    parts = [f"{text} (SQLSTATE {state})" if state else text]
    position = str(getattr(error, "position", None) or "")
    if sql is not None and position.isdigit():
        offset = int(position) - 1
        offset = start + (bound.original_offset(offset) if bound is not None else offset)
        line = line_of(sql, offset)
        source = sql.splitlines()[line - 1].strip() if line <= len(sql.splitlines()) else ""
        shown = source if len(source) <= SHOWN_CHARS else source[: SHOWN_CHARS - 1] + "…"
        parts.append(f"at line {line}, column {column_of(sql, offset)}: {shown}")
    elif sql is not None and start:
        parts.append(f"in the statement on line {line_of(sql, start)}")
    for label in ("detail", "hint", "context"):
        value = getattr(error, label, None)
        if value:
            parts.append(f"{label}: {value}")
    return "; ".join(parts)
