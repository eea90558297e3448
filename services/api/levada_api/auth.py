"""Who may come in. One gate stands before every handler; whatever it does not know, it refuses.

With a configured account every request must carry its Basic credentials, except for routes in `routing.PUBLIC` and paths
that the configuration opens by their exact spelling. Without an account nobody can sign in, so the server listens on
loopback only (`listen_host`), and the gate checks instead that the request was meant for this machine: a page in a
browser can reach loopback too, and must not be able to start flows there. There is no default password.

Browsers send credentials on their own, so requests that change something and carry an `Origin` must come from this very
server or from a configured origin. Programs send no `Origin` and are not concerned.
"""

import base64
import binascii
import functools
import hashlib
import hmac
import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

from levada.runtime.config import Config, is_loopback
from levada_api.errors import ApiError

log = logging.getLogger("levada.api")

CHALLENGE = {"WWW-Authenticate": 'Basic realm="Kestra", charset="UTF-8"'}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """Decides whether a request may pass. Immutable; knows only digests of the password."""

    def __init__(
        self,
        username: str | None,
        password: str | None,
        *,
        open_urls: tuple[str, ...] = (),
        origins: tuple[str, ...] = (),
    ) -> None:
        """Raises ValueError when only one of `username` and `password` is given."""
        if bool(username) != bool(password):
            raise ValueError("basic_auth.username and basic_auth.password must be set together")
        self.username = username or None
        self._account = _digest(f"{username}:{password}") if username else None
        #: The header as nearly every client spells it: compared first, in constant time, without decoding.
        self._header = (
            b"Basic " + base64.b64encode(f"{username}:{password}".encode()) if username and password else None
        )
        self._open = frozenset(open_urls)
        self._origins = frozenset(origin.rstrip("/") for origin in origins)

    @classmethod
    def of(cls, config: Config) -> "Gate":
        signed_in = config.auth.mode == "basic"
        return cls(
            config.basic_auth.username if signed_in else None,
            config.basic_auth.password if signed_in else None,
            open_urls=config.auth.open_urls,
            origins=config.server.cors_origins,
        )

    @property
    def locked(self) -> bool:
        """Whether there is an account, so that callers must sign in."""
        return self._account is not None

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> str:
        """Return who calls. Raises ApiError 401, 403 or 421."""
        if method not in _SAFE and "Origin" in headers:
            self._check_origin(headers["Origin"], headers.get("Host", ""))
        if self._account is None:
            check_host(headers.get("Host", ""))
            return "anonymous"
        if path in self._open:
            return "anonymous"
        given = headers.get("Authorization")
        if given is not None and self._accepts(given):
            assert self.username is not None
            return self.username
        raise ApiError(401, _why(given), headers=CHALLENGE)

    def _accepts(self, given: str) -> bool:
        assert self._account is not None
        assert self._header is not None
        if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._header):
            return True
        scheme, _, credentials = given.strip().partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            account = base64.b64decode(credentials.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(hashlib.sha256(account).digest(), self._account)

    def _check_origin(self, origin: str, host: str) -> None:
        if origin.rstrip("/") in self._origins or urlsplit(origin).netloc == host:
            return
        raise ApiError(
            403, f"a page of {origin} may not call {host}; list it in server.cors_origins if it should be allowed to"
        )


def check_host(host: str) -> None:
    """Raise unless the Host header names this machine: a name of somebody else's that resolves to loopback does not."""
    if not _is_this_machine(host):
        raise ApiError(
            421,
            f"no account is configured, so only requests to localhost are answered, not to {host!r}; "
            f"set basic_auth.username and basic_auth.password",
        )


@functools.lru_cache(256)
def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)


def listen_host(config: Config, gate: Gate) -> str:
    """Return the address to listen on: the configured one, or loopback when nobody could sign in."""
    if gate.locked or is_loopback(config.host):
        if not gate.locked and config.auth.mode != "none":
            log.warning(
                "no account is configured: sign-in is skipped and only this machine can reach the server on %s; set "
                "LEVADA_BASIC_AUTH_USERNAME and LEVADA_BASIC_AUTH_PASSWORD to open it",
                config.host,
            )
        return config.host
    log.warning(
        "no account is configured: listening on 127.0.0.1 instead of %s; set LEVADA_BASIC_AUTH_USERNAME and "
        "LEVADA_BASIC_AUTH_PASSWORD to be reachable from other machines",
        config.host,
    )
    return "127.0.0.1"


def _digest(account: str) -> bytes:
    return hashlib.sha256(account.encode()).digest()


def _why(given: str | None) -> str:
    if given is None:
        return "this server wants a user name and password (Basic authentication)"
    scheme = given.partition(" ")[0]
    if scheme.lower() == "basic":
        return "wrong user name or password"
    return f"{scheme} authentication is not supported here; send the user name and password as Basic authentication"
