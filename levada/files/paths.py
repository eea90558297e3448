"""From a URI to a path inside the internal storage, and from what owns a file to its URI.

`resolve` is the only way in: every adapter turns a URI into a `Key` here before it touches anything, and a key can only
name something below the root. It refuses rather than repairs. What it refuses: other schemes (`file://`), a host part,
`..` and `.` segments in any spelling (also percent-encoded, also with back-slashes), empty segments, control characters
and NUL, and names longer than a file system takes. Otherwise a name means itself: `%20` is three characters, and so are
`?` and `#` no separators. Links out of the root are the adapter's part.
"""

import re
from urllib.parse import unquote

from levada.files.errors import BadPath
from levada.files.port import SCHEME

#: A path below the root of the storage, with `/`, without a leading one; "" is the root itself.
Key = str

NAMESPACE_FILES = "_files"
SEGMENT_MAX_BYTES = 255
PATH_MAX_BYTES = 3072
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ENCODED = re.compile(r"%(?:2e|2f|5c|00|25)", re.IGNORECASE)


def resolve(uri: str) -> Key:
    """Return the key that `kestra:///a/b` (or `/a/b`) names. Raises BadPath for what may not be named."""
    if uri.startswith(SCHEME):
        path = uri[len(SCHEME) :]
        if not path.startswith("/"):
            raise BadPath(f"`{_shown(uri)}` names a host; a file of the internal storage is written kestra:///path")
    elif uri.startswith("/"):
        path = uri
    else:
        raise BadPath(f"`{_shown(uri)}` is no file of the internal storage; such a URI begins with kestra:///")
    return check(path[1:].removesuffix("/"), uri)


def check(path: str, shown: str | None = None) -> Key:
    """Return a relative path as a key. Raises BadPath, naming `shown` (default: the path)."""
    name = _shown(path if shown is None else shown)
    if path == "":
        return path
    if _CONTROL.search(path):
        raise BadPath(f"`{name}` has control characters")
    if "\\" in path or _ENCODED.search(path):
        raise BadPath(f"`{name}` has back-slashes or encoded separators; write the path plainly, with /")
    try:
        encoded = path.encode()
    except UnicodeEncodeError as problem:
        raise BadPath(f"`{name!a}` is not valid Unicode") from problem
    if len(encoded) > PATH_MAX_BYTES:
        raise BadPath(f"the path has {len(encoded):,} bytes; at most {PATH_MAX_BYTES:,} are allowed")
    for segment in path.split("/"):
        if segment in ("", ".", ".."):
            raise BadPath(f"`{name}` has an empty, `.` or `..` segment: Path must not contain '../'")
        if len(segment.encode()) > SEGMENT_MAX_BYTES:
            raise BadPath(f"`{name}` has a segment of more than {SEGMENT_MAX_BYTES} bytes")
    return path


def uri_of(key: Key) -> str:
    """Return the URI of a key."""
    return f"{SCHEME}/{key}"


def execution_folder(namespace: str, flow_id: str, execution_id: str) -> str:
    """Return the URI below which all files of an execution live."""
    return f"{SCHEME}/{_folders(namespace)}/{_name(flow_id)}/executions/{_name(execution_id)}"


def input_file(namespace: str, flow_id: str, execution_id: str, input_id: str, name: str) -> str:
    """Return the URI of an uploaded file input."""
    return f"{execution_folder(namespace, flow_id, execution_id)}/inputs/{_name(input_id)}/{safe_name(name)}"


def task_run_folder(namespace: str, flow_id: str, execution_id: str, task_id: str, task_run_id: str) -> str:
    """Return the URI below which the files of one task run live."""
    task = _name(task_id.replace("_", "-"))  # as Kestra spells it in its URIs
    return f"{execution_folder(namespace, flow_id, execution_id)}/tasks/{task}/{_name(task_run_id)}"


def cache_folder(namespace: str, flow_id: str, task_id: str) -> str:
    """Return the URI below which the caches of a task are kept, over all its executions."""
    return f"{SCHEME}/{_folders(namespace)}/{_name(flow_id)}/{_name(task_id)}/cache"


def namespace_file(namespace: str, path: str) -> str:
    """Return the URI of a namespace file; `path` is relative (a leading `/` is allowed)."""
    inner = check(path.lstrip("/"), path)
    folder = f"{SCHEME}/{NAMESPACE_FILES}/{_name(namespace)}"
    return f"{folder}/{inner}" if inner else folder


def safe_name(name: str) -> str:
    """Return a single segment that looks like `name` (an uploaded file's name, say) and can do no harm."""
    plain = _CONTROL.sub("", unquote(name)).replace("\\", "/").rsplit("/", 1)[-1].strip()
    plain = plain.replace("%", "_").encode("utf-8", "replace").decode()
    if not plain.strip("."):
        return "file"
    stem, dot, suffix = plain.rpartition(".")
    while len(plain.encode()) > SEGMENT_MAX_BYTES - 32:
        stem, suffix = (stem[:-1], suffix) if stem else (stem, suffix[:-1])
        plain = f"{stem}{dot}{suffix}"
    return plain


def _folders(namespace: str) -> str:
    return "/".join(_name(part) for part in namespace.split("."))


def _name(text: str) -> str:
    """Refuse an id that is not one plain segment: ids come from the model, so this is a second lock, not the first."""
    if "/" in text or not text or text in (".", ".."):
        raise BadPath(f"`{_shown(text)}` cannot be part of a storage path")
    return check(text)


def _shown(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
