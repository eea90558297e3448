"""Secrets and variables that come from the environment, and the key that encrypts values.

`SECRET_<NAME>` holds a secret in base64, as Kestra reads it; `LEVADA_SECRET_<NAME>` holds it as it is and wins. Names are
compared in capitals. A value that is not base64 is an error only for whoever asks for it: other programs use names such
as `SECRET_KEY` too, and they must not keep Levada from starting.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping

from levada.model.errors import UserError
from levada.runtime.config.setting import MASK

PLAIN_PREFIX = "LEVADA_SECRET_"
BASE64_PREFIX = "SECRET_"
KEY_BYTES = 32


class Secrets(Mapping[str, str]):
    """The secrets by name. Prints only their names."""

    def __init__(self, plain: Mapping[str, str], encoded: Mapping[str, str]) -> None:
        self._plain, self._encoded = dict(plain), dict(encoded)

    def __getitem__(self, name: str) -> str:
        """Return a secret. Raises KeyError when there is none, UserError when it cannot be decoded."""
        name = name.upper()
        if name in self._plain:
            return self._plain[name]
        try:
            return base64.b64decode("".join(self._encoded[name].split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise UserError(
                f"{BASE64_PREFIX}{name} is not base64 of a text: {error}. "
                f"Encode it (printf %s value | base64), or set {PLAIN_PREFIX}{name} to the plain value."
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._plain, *self._encoded}))

    def __len__(self) -> int:
        return len({*self._plain, *self._encoded})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name.upper() in self._plain or name.upper() in self._encoded)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(f'{name}={MASK}' for name in self)})"


def secrets(environ: Mapping[str, str]) -> Secrets:
    """Return the secrets that the environment holds."""
    return Secrets(_with_prefix(environ, PLAIN_PREFIX), _with_prefix(environ, BASE64_PREFIX))


def envs(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return what expressions see as `envs`: variables with the prefix, without it, in small letters."""
    if not prefix:
        return {}  # all of the environment would hand every flow the database's password
    return {name.lower(): value for name, value in _with_prefix(environ, prefix).items()}


def encryption_key(text: str) -> bytes:
    """Return the 32 bytes that `text` spells in base64 or is. Raises ValueError."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) == KEY_BYTES:
        return key
    if len(text.encode()) == KEY_BYTES:
        return text.encode()
    raise ValueError(f"must be {KEY_BYTES} bytes, as base64 (openssl rand -base64 {KEY_BYTES}) or as they are")


def _with_prefix(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name[len(prefix) :]: value for name, value in environ.items() if name.startswith(prefix) and name != prefix}
