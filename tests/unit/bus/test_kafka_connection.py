"""From settings to a client's arguments; from errors to what a person can do."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import certificates
import pytest
from aiokafka import errors

from levada.bus.kafka import KafkaSettings
from levada.bus.kafka.connection import arguments, explain, split, tamed
from levada.bus.kafka.quiet import Seldom
from levada.model.errors import UserError

PLAIN = KafkaSettings(("one:9092", "two:9092"))


def test_a_plain_connection_has_neither_user_nor_certificates() -> None:
    made = arguments(PLAIN)
    assert made["bootstrap_servers"] == ["one:9092", "two:9092"]
    assert made["security_protocol"] == "PLAINTEXT"
    assert made["request_timeout_ms"] == 10_000
    assert not made.keys() & {"ssl_context", "sasl_mechanism", "sasl_plain_username"}


def test_signing_in_and_encryption_become_arguments(tmp_path: Path) -> None:
    authority, _, client = certificates.make(tmp_path)
    made = arguments(
        KafkaSettings(
            ("one:9092",),
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="levada",
            sasl_password="secret",
            ssl_ca_file=authority,
            ssl_cert_file=client.certificate,
            ssl_key_file=client.key,
        )
    )
    assert (made["sasl_mechanism"], made["sasl_plain_username"]) == ("SCRAM-SHA-512", "levada")
    assert made["ssl_context"].check_hostname
    assert made["ssl_context"].verify_mode is ssl.CERT_REQUIRED


def test_the_name_in_the_certificate_may_be_ignored_but_not_who_signed_it() -> None:
    context = arguments(KafkaSettings(("one:9092",), security_protocol="SSL", ssl_check_hostname=False))["ssl_context"]
    assert not context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("wrong", ["ssl_ca_file", "ssl_cert_file", "ssl_key_file"])
def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, wrong: str) -> None:
    authority, _, client = certificates.make(tmp_path)
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    files = {"ssl_ca_file": authority, "ssl_cert_file": client.certificate, "ssl_key_file": client.key}
    settings = KafkaSettings(("one:9092",), security_protocol="SSL", **{**files, wrong: nonsense})
    with pytest.raises(UserError, match=r"kafka\.ssl_(ca|cert)_file.*nonsense.*PEM"):
        arguments(settings)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("a:1", "a", 1), ("a", "a", 9092), ("[::1]:19092", "::1", 19092), ("10.0.0.1:9", "10.0.0.1", 9)],
)
def test_an_address_is_split(text: str, host: str, port: int) -> None:
    assert split(text) == (host, port)


def caused_by(cause: BaseException) -> errors.KafkaConnectionError:
    error = errors.KafkaConnectionError("Connection at b:1 closed")
    error.__cause__ = cause
    return error


def other_name() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "Hostname mismatch, certificate is not valid for 'b'."
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(), "nothing listens there"),
        (socket.gaierror(-2, "unknown"), "no such host"),
        (TimeoutError(), "no answer within"),
        (errors.SaslAuthenticationFailed("bad"), "kafka.sasl_password"),
        (errors.UnsupportedSaslMechanismError("has [PLAIN]"), "kafka.sasl_mechanism"),
        (errors.IllegalSaslStateError(), "nobody to sign in"),
        (caused_by(ssl.SSLError(1, "tlsv13 alert certificate required")), "kafka.ssl_cert_file"),
        (other_name(), "kafka.ssl_check_hostname"),
        (caused_by(ssl.SSLError(1, "SSLV3_ALERT_CERTIFICATE_UNKNOWN")), "who signed it"),
        (caused_by(ssl.SSLError(1, "wrong version number")), "TLS failed"),
        (errors.KafkaConnectionError("closed"), "kafka.security_protocol"),
        (errors.UnknownError(), "UnknownError"),
    ],
)
def test_an_error_is_explained_with_its_setting(error: BaseException, said: str) -> None:
    assert said in explain(error, PLAIN)


async def test_a_client_asks_for_metadata_ten_times_a_second_at_most() -> None:
    class Client:
        asked = 0

        async def _metadata_update(self, *_: Any) -> bool:
            self.asked += 1
            return False

    client = tamed(Client())
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.35
    while loop.time() < until:
        await client._metadata_update("cluster", "topics")
    assert 2 <= client.asked <= 5


def test_lines_that_are_all_alike_are_left_out_and_counted() -> None:
    now = [0.0]
    filter = Seldom(10.0, lambda: now[0])

    def line(message: str, *arguments: object) -> logging.LogRecord:
        return logging.LogRecord("aiokafka", logging.ERROR, "f", 1, message, arguments, None)

    let_through = [line("Unable connect to node with id %s: %s", number, "x") for number in range(1000)]
    assert sum(filter.filter(one) for one in let_through) == 1
    assert filter.filter(line("another"))
    now[0] = 10.5
    last = line("Unable connect to node with id %s: %s", 7, "x")
    assert filter.filter(last)
    assert last.getMessage() == "Unable connect to node with id 7: x (and 999 more like it)"
