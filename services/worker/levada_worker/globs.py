"""Patterns for file names, as Java's `glob:` reads them: `*`, `?`, `[a-z]`, `{a,b}` within a segment, `**` across them.

One difference: `**/` also matches no folder at all, so `**/*.csv` finds files at the top too.
"""

import re
from functools import lru_cache

from levada.model.errors import UserError

PATTERN_MAX_CHARS = 1024


@lru_cache(maxsize=512)
def compile(pattern: str) -> re.Pattern[str]:
    """Return the expression that matches relative paths with `/`. A leading `/` or `./` means the top. Raises UserError."""
    if len(pattern) > PATTERN_MAX_CHARS:
        raise UserError(f"a file pattern may have {PATTERN_MAX_CHARS} characters, this one has {len(pattern):,}")
    text = pattern.removeprefix("./").lstrip("/")
    try:
        return re.compile(_translate(text, pattern), re.DOTALL)
    except re.error as problem:
        raise UserError(f"the file pattern `{pattern}` cannot be read: {problem}") from problem


def anywhere(pattern: str) -> re.Pattern[str]:
    """Like `compile`, but a pattern without leading `/` matches in every folder."""
    return compile(pattern) if pattern.startswith(("/", "./", "**")) else compile(f"**/{pattern}")


def _translate(text: str, shown: str) -> str:
    out: list[str] = []
    at, braces = 0, 0
    while at < len(text):
        character = text[at]
        at += 1
        if character == "*":
            if text.startswith("*/", at):
                out.append("(?:.*/)?")
                at += 2
            elif text.startswith("*", at):
                out.append(".*")
                at += 1
            else:
                out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            end = text.find("]", at + 1)
            if end < 0:
                raise UserError(f"the file pattern `{shown}` has a `[` without `]`")
            inner = text[at:end].replace("\\", "\\\\").replace("[", "\\[")
            out.append("(?!/)[" + ("^" + inner[1:] if inner.startswith("!") else inner) + "]")
            at = end + 1
        elif character == "{":
            braces += 1
            out.append("(?:")
        elif character == "}" and braces:
            braces -= 1
            out.append(")")
        elif character == "," and braces:
            out.append("|")
        elif character == "\\" and at < len(text):
            out.append(re.escape(text[at]))
            at += 1
        else:
            out.append(re.escape(character))
    if braces:
        raise UserError(f"the file pattern `{shown}` has a `{{` without `}}`")
    return "".join(out)
