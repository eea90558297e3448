"""Where an attempt may run: the queue it waits in, and the tags that a worker must carry to take it from there.

Both stand in one text, the route: `default`, `gpu`, `default[linux,ssd]` (all of these tags), `default[linux|mac]` (one of
them is enough). The work queue is ordered by route, so attempts that wait for a rare worker are never in the way of those
that anybody could take.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

DEFAULT_QUEUE = "default"
#: Tags are labels as in RFC 1123: they stand between the separators of a route, so they have none of them.
TAG = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
TAGS_MAX = 20
ALL, ANY = ",", "|"


def route(queue: str, tags: Iterable[str] = (), *, match: str = "ALL") -> str:
    """Return the route; the same one however the tags are ordered. `match` is ALL or ANY."""
    wanted = sorted(set(tags))
    return f"{queue}[{(ANY if match == 'ANY' else ALL).join(wanted)}]" if wanted else queue


def of_group(group: Mapping[str, Any] | None) -> str:
    """Return the route of `workerGroup: {key}` or `workerSelector: {tags, match}`, as the flow has them."""
    if not group:
        return DEFAULT_QUEUE
    match = str(group.get("match") or "ALL")
    return route(str(group.get("key") or DEFAULT_QUEUE), map(str, group.get("tags") or ()), match=match)


def parsed(text: str) -> tuple[str, frozenset[str], bool]:
    """Return queue, tags, and whether one of them is enough."""
    if not text.endswith("]") or "[" not in text:
        return text, frozenset(), False
    queue, _, inner = text[:-1].rpartition("[")
    one = ANY in inner
    return queue, frozenset(inner.split(ANY if one else ALL)), one


def serves(text: str, queues: Collection[str], tags: Collection[str]) -> bool:
    """Whether a worker of these queues that carries these tags may take attempts of the route."""
    queue, wanted, one = parsed(text)
    if queue not in queues:
        return False
    carried = wanted.intersection(tags)
    return bool(carried) or not wanted if one else carried == wanted
