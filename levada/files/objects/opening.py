"""From an address and its credentials to internal storage in an object store.

    s3://bucket/prefix     S3, or with `endpoint` whatever speaks like it (SeaweedFS, MinIO, Ceph, R2, …)
    gs://bucket/prefix     Google Cloud Storage
    az://container/prefix  Azure Blob Storage

Credentials that are not given are looked for where the clouds' own tools look: AWS_…, GOOGLE_… and AZURE_… variables, a
web identity of the pod, the machine's metadata service. Nothing is asked of the store here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import from_url

from levada.files.objects.adapter import ObjectFiles
from levada.model.errors import UserError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

SCHEMES = ("s3", "gs", "az")
CONNECT_S = 5.0
#: A whole download may take so long; that it stands still is noticed by the time-out of reading.
LONGEST_REQUEST_S = 24 * 3600.0
RETRIES = 6
RETRIED_FOR_S = 45.0
#: The check of health must know within seconds: one look, and one more in case the first met a hiccup.
CHECK_S = 1.0
CHECK_RETRIES = 1


@dataclass(frozen=True, slots=True)
class Access:
    """How to get at a store; None leaves it to the environment. `ca`: certificates in PEM. `timeout_s`: without a byte."""

    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    ca: bytes | None = None
    timeout_s: float = 30.0


def open_objects(url: str, access: Access) -> ObjectFiles:
    """Return internal storage at an address. Raises UserError for one that cannot be, or settings that do not fit it."""
    parts = urlsplit(url)
    if not parts.netloc:
        raise UserError(f"storage.url: `{url}` names no bucket; it must look like {parts.scheme}://bucket/prefix")
    if parts.scheme != "s3" and (access.endpoint or access.access_key):
        raise UserError(
            f"storage.endpoint, storage.access_key and storage.secret_key are for s3://; for {parts.scheme}:// the "
            "variables of that cloud are read, such as GOOGLE_SERVICE_ACCOUNT or AZURE_STORAGE_ACCOUNT_NAME and _KEY"
        )
    if (access.access_key is None) != (access.secret_key is None):
        raise UserError("storage.access_key and storage.secret_key are set both or neither")
    place = f"{parts.scheme}://{parts.netloc}" + (f" at {access.endpoint}" if access.endpoint else "")
    prefix = unquote(parts.path).strip("/")
    try:
        store = _store(url, access, access.timeout_s, CONNECT_S, _retry(RETRIES, RETRIED_FOR_S))
        probe = _store(url, access, CHECK_S, CHECK_S, _retry(CHECK_RETRIES, CHECK_S))
    except (BaseError, ValueError) as problem:
        said = str(problem).partition("\n\nDebug source")[0]
        raise UserError(f"storage.url: `{url}` cannot be opened: {said}") from problem
    return ObjectFiles(store, probe, place, prefix_bytes=len(prefix.encode()))


def _store(url: str, access: Access, read_s: float, connect_s: float, retry: RetryConfig) -> Any:
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=connect_s),
        "read_timeout": timedelta(seconds=read_s),
        "timeout": timedelta(seconds=LONGEST_REQUEST_S),
        "user_agent": "levada",
    }
    if access.endpoint and access.endpoint.startswith("http://"):
        client["allow_http"] = True
    if access.ca:
        client["root_certificate"] = access.ca
    names = {
        "endpoint": access.endpoint,
        "region": access.region,
        "access_key_id": access.access_key,
        "secret_access_key": access.secret_key,
    }
    given: dict[str, Any] = {name: value for name, value in names.items() if value is not None}
    return from_url(url, client_options=client, retry_config=retry, **given)


def _retry(times: int, for_s: float) -> RetryConfig:
    return {
        "max_retries": times,
        "retry_timeout": timedelta(seconds=for_s),
        "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
    }
