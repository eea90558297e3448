"""Functions that another service performs. This package knows how they are called; the host does the work."""

from __future__ import annotations

from typing import Final

from levada.expr.registry import Taint, service_function

_TABLE: Final[tuple[tuple[str, str, str, Taint], ...]] = (
    ("secret", "key, namespace=null, subkey=null", "A secret of the namespace; masked wherever it is shown.", "secret"),
    ("credential", "name, ...", "A token for a named credential; masked wherever it is shown.", "secret"),
    ("kv", "key, namespace=null, errorOnMissing=true", "A value from the key-value store of the namespace.", "keep"),
    ("read", "path, namespace=null, revision=null", "The text of a file: internal storage or namespace file.", "keep"),
    ("fileURI", "path, namespace=null, revision=null", "The address of a namespace file in internal storage.", "keep"),
    ("fileSize", "path, namespace=null", "The size of a file in bytes.", "keep"),
    ("fileExists", "path, namespace=null", "Whether a file exists.", "keep"),
    ("isFileEmpty", "path, namespace=null", "Whether a file has no content.", "keep"),
    (
        "http",
        "uri, method='GET', query=null, body=null, contentType=null, headers=null, options=null, accept=null",
        "The answer to an HTTP request, read by its content type.",
        "keep",
    ),
    (
        "subflow",
        "namespace, id, inputs=null, revision=null, labels=null, timeout=null",
        "Runs a flow and waits for it: its id, state, outputs and labels.",
        "keep",
    ),
    ("errorLogs", "", "The error logs of this execution.", "keep"),
    ("appLink", "appId=null, baseUrl=null, ...", "The address of an app.", "keep"),
    ("assets", "...", "Assets that fit the arguments.", "keep"),
)

for _name, _signature, _doc, _taint in _TABLE:
    service_function(_name, _signature, _doc, taint=_taint)
