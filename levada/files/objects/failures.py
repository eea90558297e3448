"""What an object store answers, in our three families and with what helps.

The client gives an exception whose text ends with the answer of the store; there is no other way to its status and code.
By whose fault: credentials, bucket and region are the user's and are wrong until somebody changes them; whatever is too
slow, too busy or away is transient, after the client itself has tried again. That an object is missing is decided by the
adapter, which knows what was asked for; only a missing bucket is told here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError, NotFoundError, PreconditionError

from levada.files.errors import StorageUnusable
from levada.model.errors import LevadaError, Transient

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([\w.]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})")
_SECRET = re.compile(r"((?:sig|signature|token)=)[^&\s)]+", re.IGNORECASE)
_METADATA = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
_BUSY = frozenset({408, 429})
_CREDENTIALS = frozenset(
    {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}
)
_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"})
_CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired"})


class Absent(Exception):
    """There is no such object."""


@contextmanager
def told(place: str) -> Iterator[None]:
    """Raise Absent for an object that is missing, and an error of ours for everything else that the store refuses.

    `place`: how people know the store, `s3://bucket at https://host`.
    """
    try:
        yield
    except (FileNotFoundError, NotFoundError) as problem:
        if "NoSuchBucket" in str(problem):
            raise translated(problem, place) from problem
        raise Absent from problem
    except BaseError as problem:
        raise translated(problem, place) from problem


def translated(problem: Exception, place: str) -> LevadaError:
    """Return what an exception of the client means."""
    said, _, details = str(problem).partition("\n\nDebug source")
    status, code = _number(_STATUS.search(said)), _text(_CODE.search(said))
    if isinstance(problem, PreconditionError) or status == 412:
        return Transient(f"a file in {place} was replaced while it was read")
    if any(address in said for address in _METADATA):
        return _no_credentials(place)
    if status is None:
        return _unreachable(said, details, place)
    shown = ": ".join(part for part in (code, _text(_MESSAGE.search(said)).strip()) if part) or f"status {status}"
    if status in _BUSY or status >= 500:
        return Transient(f"{place} is too busy or in trouble (status {status}, {shown}); it was asked several times")
    return StorageUnusable(_refusal(status, code, shown, place))


def _refusal(status: int, code: str, shown: str, place: str) -> str:
    if code in _NO_BUCKET or (status == 404 and not code):
        return f"there is no bucket as in {place} ({shown}): make it, or correct storage.url"
    if code in _REGION or status in (301, 307):
        return f"{place} is in another region ({shown}): set storage.region to the bucket's"
    if code in _CLOCK:
        return f"{place} refuses requests of this time ({shown}): let NTP set the clock of this machine"
    if code in _CREDENTIALS or status in (401, 403):
        return (
            f"{place} refuses the credentials ({shown}): check storage.access_key and storage.secret_key, or what the "
            "environment gives in their place; they must allow to list, read, write and delete in that bucket"
        )
    return f"{place} refuses what was asked (status {status}, {shown})"


def _unreachable(said: str, details: str, place: str) -> LevadaError:
    """No answer came: say how far the request got."""
    if "redirect" in said:  # the client does not follow, because a request is signed for one region
        return StorageUnusable(_refusal(301, "", "it sends us elsewhere", place))
    if "certificate" in details or "UnknownIssuer" in details:
        return StorageUnusable(
            f"{place} shows a certificate that nobody here trusts: set storage.ca_file to its signer's"
        )
    if "dns error" in details:
        return Transient(
            f"{place} cannot be reached, its name does not resolve: check storage.endpoint and the network"
        )
    if "TimedOut" in details or "timed out" in said:
        return Transient(f"{place} does not answer in time")
    if "Connect" in details or "error sending request" in said:
        return Transient(f"{place} cannot be reached: check that it runs, storage.endpoint, and the network")
    shown = _SECRET.sub(r"\1…", said)
    return Transient(f"{place}: {shown[:500]}")


def _no_credentials(place: str) -> Transient:
    """Transient: where a machine's own service gives credentials, it may be away for a moment."""
    return Transient(
        f"there are no credentials for {place}: set storage.access_key and storage.secret_key, or run where the cloud "
        "gives them to the machine (its metadata service gave none)"
    )


def _number(found: re.Match[str] | None) -> int | None:
    return int(found[1]) if found else None


def _text(found: re.Match[str] | None) -> str:
    return found[1] if found else ""
