"""Values that are kept encrypted: inputs of type SECRET.

A sealed value is a map `{"type": "io.kestra.datatype:aes_encrypted", "value": base64 of nonce and AES-256-GCM text}`, so it
can be stored and shown wherever the plain one could. It is sealed by whoever accepts it and opened only for rendering.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from levada.model.errors import UserError

ENCRYPTED = "io.kestra.datatype:aes_encrypted"
NONCE_BYTES = 12

Values = dict[str, Any]


def seal(key: bytes, text: str, nonce: bytes) -> dict[str, str]:
    """Return the sealed form of a text. `nonce` is 12 random bytes, never used twice with a key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # loads OpenSSL: only where it is needed

    sealed = AESGCM(key).encrypt(nonce, text.encode(), None)
    return {"type": ENCRYPTED, "value": base64.b64encode(nonce + sealed).decode()}


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == ENCRYPTED and isinstance(value.get("value"), str)


def unseal(key: bytes, value: dict[str, Any]) -> str:
    """Return the text. Raises UserError when it was sealed with another key."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        data = base64.b64decode(value["value"], validate=True)
        return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], None).decode()
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise UserError("a SECRET value cannot be opened: it was sealed with another `encryption.key`") from error


def opener(key: bytes | None) -> Callable[[Values], Values]:
    """Return a function that opens every sealed value in a map, at any depth of maps. Without a key it opens nothing."""
    if key is None:
        return lambda values: values

    def open_all(values: Values) -> Values:
        if not any(isinstance(value, dict) for value in values.values()):
            return values
        return {name: _opened(key, value) for name, value in values.items()}

    return open_all


def _opened(key: bytes, value: Any) -> Any:
    if is_sealed(value):
        return unseal(key, value)
    if isinstance(value, dict):
        return {name: _opened(key, inner) for name, inner in value.items()}
    return value
