"""Globs of paths as Kestra users write them: `*` stays within a folder, `**` crosses folders, `{a,b}` chooses."""

import functools
import re
from collections.abc import Iterable

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|\{|\}|,|.", re.DOTALL)


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether a relative path matches one of the globs. A leading `/` makes no difference."""
    relative = path.lstrip("/")
    return any(_compiled(pattern).fullmatch(relative) for pattern in patterns)


@functools.lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    text = pattern.removeprefix("glob:").lstrip("/").removeprefix("./")
    depth = 0
    parts = []
    for token in _TOKEN.findall(text):
        match token:
            case "**/":
                part = "(?:.*/)?"
            case "**":
                part = ".*"
            case "*":
                part = "[^/]*"
            case "?":
                part = "[^/]"
            case "{":
                depth, part = depth + 1, "(?:"
            case "}" if depth:
                depth, part = depth - 1, ")"
            case "," if depth:
                part = "|"
            case _ if len(token) > 1:
                part = token.replace("[!", "[^", 1)
            case _:
                part = re.escape(token)
        parts.append(part)
    return re.compile("".join(parts) + ")" * depth, re.DOTALL)
