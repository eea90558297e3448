"""How to reach the brokers, and why they can not be reached.

`KafkaSettings` is what the configuration says. `arguments` turns it into what every client of aiokafka takes. aiokafka
reports whatever goes wrong at the start as "Unable to bootstrap" and only logs the cause, so `reach` looks for itself, one
server after the other, and says for each what is wrong and which setting would put it right.

`tamed` is called with every client made here: it keeps it from asking for metadata in a loop without pause, which costs a
core on both sides while a broker or a topic is away.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from levada.model.errors import Transient, UserError

log = logging.getLogger(__name__)

METADATA_PAUSE_S = 0.1
#: How long one server may take to answer when we look why nothing works.
LOOK_S = 3.0
DEFAULT_PORT = 9092


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Seconds; files may be None."""

    bootstrap_servers: tuple[str, ...]
    client_id: str = "levada"
    topic_prefix: str = ""
    replication_factor: int = 3
    retention_s: float = 7 * 86_400.0
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_ca_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None
    ssl_key_password: str | None = None
    ssl_check_hostname: bool = True
    #: How long `start` tries before it says what is wrong.
    connect_timeout_s: float = 10.0
    #: After this an append that is not confirmed raises; it may still have happened.
    delivery_timeout_s: float = 10.0

    @property
    def uses_tls(self) -> bool:
        return self.security_protocol in ("SSL", "SASL_SSL")

    @property
    def signs_in(self) -> bool:
        return self.security_protocol.startswith("SASL")


def arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Return what every client of aiokafka takes. Raises UserError for files that are no certificates or keys."""
    timeout_ms = int(settings.delivery_timeout_s * 1000)
    made: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": settings.client_id,
        "request_timeout_ms": timeout_ms,
        "metadata_max_age_ms": 60_000,
        "security_protocol": settings.security_protocol,
    }
    if settings.uses_tls:
        made["ssl_context"] = tls(settings)
    if settings.signs_in:
        made["sasl_mechanism"] = settings.sasl_mechanism
        made["sasl_plain_username"] = settings.sasl_username or ""
        made["sasl_plain_password"] = settings.sasl_password or ""
    return made


def tls(settings: KafkaSettings) -> ssl.SSLContext:
    """Return the TLS context: our trust in the brokers and, where they ask for it, our certificate."""
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"kafka.ssl_ca_file: {settings.ssl_ca_file} has no certificates in PEM form ({error})"
        ) from error
    context.check_hostname = settings.ssl_check_hostname
    if settings.ssl_cert_file is not None:
        password = settings.ssl_key_password or ""
        try:  # a password is always given: without one OpenSSL would ask the terminal for it
            context.load_cert_chain(settings.ssl_cert_file, settings.ssl_key_file, password=password)
        except (OSError, ssl.SSLError) as error:
            raise UserError(
                f"kafka.ssl_cert_file: {settings.ssl_cert_file} with key {settings.ssl_key_file} can not be used "
                f"({error}); it must be PEM, the key must belong to it, and kafka.ssl_key_password must open the key"
            ) from error
    return context


def tamed(client: AIOKafkaClient) -> AIOKafkaClient:
    """Keep two requests for metadata of this client at least `METADATA_PAUSE_S` apart."""
    ask = client._metadata_update
    earliest = 0.0

    async def ask_seldom(*arguments: Any) -> Any:
        nonlocal earliest
        loop = asyncio.get_running_loop()
        pause = earliest - loop.time()
        if pause > 0:
            await asyncio.sleep(pause)
        earliest = loop.time() + METADATA_PAUSE_S
        return await ask(*arguments)

    client._metadata_update = ask_seldom
    return client


async def reach(settings: KafkaSettings) -> None:
    """Ask one of the servers for the cluster's brokers. Raises Transient that names what is wrong with each server."""
    made = arguments(settings)
    servers = made.pop("bootstrap_servers")
    del made["metadata_max_age_ms"]
    made["request_timeout_ms"] = int(LOOK_S * 1000)
    reasons = []
    for server in servers:
        host, port = split(server)
        try:
            connection = await create_conn(host, port, **made)
            try:
                await connection.send(MetadataRequest([]))
                return
            finally:
                await connection.close()
        except (TimeoutError, errors.KafkaError, OSError, EOFError, ValueError, AssertionError) as error:
            reasons.append(f"{server}: {explain(error, settings)}")
    raise Transient("Kafka can not be reached: " + "; ".join(reasons))


async def cause(error: BaseException, settings: KafkaSettings) -> str:
    """Return what stands behind an error of a client that was starting, which aiokafka itself only logs."""
    if isinstance(error, errors.KafkaConnectionError):
        try:
            await reach(settings)
        except Transient as found:
            return str(found)
    return f"Kafka does not answer: {explain(error, settings)}"


def split(server: str) -> tuple[str, int]:
    """Return host and port of `host:port`, `[address]:port` or `host`."""
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdecimal():
        return server.strip("[]"), DEFAULT_PORT
    return host.strip("[]"), int(port)


def explain(error: BaseException, settings: KafkaSettings) -> str:
    """Say what a failed connection means, and what to do about it."""
    causes = list(_causes(error))
    for cause in causes:
        match cause:
            case errors.SaslAuthenticationFailed():
                return (
                    f"user `{settings.sasl_username}` was refused; check kafka.sasl_username, kafka.sasl_password and "
                    "kafka.sasl_mechanism"
                )
            case errors.UnsupportedSaslMechanismError():
                return (
                    f"it does not offer {settings.sasl_mechanism}; set kafka.sasl_mechanism to what it offers ({cause})"
                )
            case errors.IllegalSaslStateError():
                return "it wants nobody to sign in on this port; set kafka.security_protocol to PLAINTEXT or SSL"
            case ssl.SSLCertVerificationError() if "ostname" in cause.verify_message or "IP address" in str(cause):
                return (
                    f"its certificate is for another host ({cause.verify_message}); use the name in the certificate in "
                    "kafka.bootstrap_servers, or set kafka.ssl_check_hostname to false"
                )
            case ssl.SSLCertVerificationError():
                return (
                    f"its certificate is not trusted ({cause.verify_message}); set kafka.ssl_ca_file to its authority's"
                )
            case ssl.SSLError() if "CERTIFICATE_REQUIRED" in str(cause).upper().replace(" ", "_"):
                return "it asks for our certificate; set kafka.ssl_cert_file and kafka.ssl_key_file"
            case ssl.SSLError() if any(
                word in str(cause).upper() for word in ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN")
            ):
                return f"it does not trust our certificate ({cause}); check kafka.ssl_cert_file and who signed it"
            case ssl.SSLError():
                return f"TLS failed ({cause}); if the port is without TLS, set kafka.security_protocol accordingly"
            case ConnectionRefusedError():
                return "nothing listens there; start the broker or correct kafka.bootstrap_servers"
            case socket.gaierror():
                return "there is no such host; correct kafka.bootstrap_servers"
            case asyncio.TimeoutError():
                return f"no answer within {LOOK_S:g} s"
    return _closed(causes, settings)


def _closed(causes: list[BaseException], settings: KafkaSettings) -> str:
    """Return what it means that a connection ends without a word."""
    if not any(isinstance(one, errors.KafkaConnectionError | OSError | EOFError) for one in causes):
        return repr(causes[0])
    detail = next((str(cause) for cause in reversed(causes) if str(cause)), type(causes[-1]).__name__)
    if settings.uses_tls:
        hint = "does the port speak TLS, and does it want a certificate of ours (kafka.ssl_cert_file)?"
    elif settings.signs_in:
        hint = "is kafka.security_protocol right: does the port want TLS (SASL_SSL)?"
    else:
        hint = "is kafka.security_protocol right: does the port want TLS or somebody to sign in (SSL, SASL_SSL …)?"
    return f"the connection ended before an answer came ({detail}); {hint}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
