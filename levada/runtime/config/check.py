"""What no single setting can know: rules over several of them, and values with a form of their own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from levada.model import routes
from levada.runtime.config.secret import encryption_key
from levada.runtime.config.tree import Config

LOG_LEVELS = ("trace", "debug", "info", "warning", "error")
STORAGE_SCHEMES = ("file", "s3", "gs", "az")


def problems(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the path of a setting and what is wrong with it together with the others."""
    yield from _addresses(config)
    yield from _access(config)
    yield from _workers(config)
    yield from _storage(config)
    for name, level in config.log.levels.items():
        if level not in LOG_LEVELS:
            yield "log.levels", f"`{name}` must be one of {', '.join(LOG_LEVELS)}, is {level!r}"
    kafka = config.kafka
    if kafka.security_protocol.startswith("SASL"):
        for name in ("sasl_username", "sasl_password"):
            if not getattr(kafka, name):
                yield f"kafka.{name}", f"`kafka.{name}` must be set for {kafka.security_protocol}"
    for name in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file"):
        path = getattr(kafka, name)
        if path is not None and not path.is_file():
            yield f"kafka.{name}", f"`kafka.{name}`: there is no file {path}"


def _workers(config: Config) -> Iterator[tuple[str, str]]:
    for setting, names in (("worker.queues", config.worker.queues), ("worker.tags", config.worker.tags)):
        for name in names:
            if not routes.TAG.fullmatch(name):
                yield setting, f"`{setting}`: `{name}` must be letters, digits, `-`, `_` and `.`, at most 63"


def _storage(config: Config) -> Iterator[tuple[str, str]]:
    storage, parts = config.storage, urlsplit(config.storage_url)
    if parts.scheme not in STORAGE_SCHEMES:
        yield "storage.url", f"`storage.url` must start with {', '.join(f'{name}://' for name in STORAGE_SCHEMES)}"
    elif parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        yield "storage.url", f"`storage.url` names another host, {parts.netloc}; a folder is written file:///path"
    elif parts.scheme != "file" and not parts.netloc:
        yield "storage.url", f"`storage.url` names no bucket; it must look like {parts.scheme}://bucket/prefix"
    if bool(storage.access_key) != bool(storage.secret_key):
        missing = "secret_key" if storage.access_key else "access_key"
        yield f"storage.{missing}", f"`storage.{missing}` must be set too"
    for name in ("endpoint", "access_key"):
        if getattr(storage, name) and parts.scheme != "s3":
            yield f"storage.{name}", f"`storage.{name}` is for s3://; storage.url is {config.storage_url}"
    if storage.ca_file is not None and not storage.ca_file.is_file():
        yield "storage.ca_file", f"`storage.ca_file`: there is no file {storage.ca_file}"


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _addresses(config: Config) -> Iterator[tuple[str, str]]:
    if config.database.url is not None and urlsplit(config.database.url).scheme not in ("postgresql", "postgres"):
        yield "database.url", "`database.url` must look like postgresql://user:password@host:5432/database"
    addresses = {
        "server.url": config.server.url,
        "telemetry.otlp_endpoint": config.telemetry.otlp_endpoint,
        "storage.endpoint": config.storage.endpoint,
    }
    gateways = [("worker.gateway_url", url) for url in config.worker.gateway_url]
    for path, url in [*addresses.items(), *gateways]:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
            yield path, f"`{path}` must look like https://levada.example.com, is {url!r}"
    if config.port == config.management_port != 0:
        yield "management_port", f"`management_port` must differ from `port`, both are {config.port}"
    for server in config.kafka.bootstrap_servers:
        if not server.rpartition(":")[2].isdigit():
            yield "kafka.bootstrap_servers", f"`kafka.bootstrap_servers` must be host:port,…; {server!r} has no port"


def _access(config: Config) -> Iterator[tuple[str, str]]:
    if config.auth.mode == "none" and not is_loopback(config.host):
        yield (
            "auth.mode",
            (
                f"`auth.mode` may be none only when `host` is a loopback address such as 127.0.0.1; it is {config.host}. "
                f"Set basic_auth.username and basic_auth.password, or listen on 127.0.0.1"
            ),
        )
    username, password = config.basic_auth.username, config.basic_auth.password
    if bool(username) != bool(password):
        missing = "password" if username else "username"
        yield f"basic_auth.{missing}", f"`basic_auth.{missing}` must be set too"
    if username is not None and ":" in username:
        yield "basic_auth.username", "`basic_auth.username` must not contain a colon; HTTP cannot send it"
    if config.encryption.key:
        try:
            encryption_key(config.encryption.key)
        except ValueError as error:
            yield "encryption.key", f"`encryption.key` {error}"
