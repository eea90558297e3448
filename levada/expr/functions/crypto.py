"""AES encryption in Kestra's form: base64 of a nonce of 12 bytes and the AES-GCM ciphertext with its tag."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from levada.expr import values
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame
from levada.expr.host import service
from levada.expr.registry import function

NONCE_BYTES: Final = 12


def _cipher(key: Any) -> AESGCM:
    try:
        return AESGCM(base64.b64decode(values.plain_text(key, "`key`"), validate=True))
    except (ValueError, binascii.Error) as problem:
        raise ExpressionError("`key` must be the base64 of 16, 24 or 32 bytes") from problem


@function("encrypt", ambient=True)
def encrypt(frame: Frame, key: Any, plaintext: Any) -> str:
    """A text encrypted with AES-GCM under a base64 key."""
    cipher, text = _cipher(key), values.plain_text(plaintext, "`plaintext`")
    nonce = service(frame.host, "encrypt").random_bytes(NONCE_BYTES)
    return base64.b64encode(nonce + cipher.encrypt(nonce, text.encode(errors="surrogatepass"), None)).decode()


@function("decrypt", taint="secret")
def decrypt(key: Any, encrypted: Any) -> str:
    """The text that `encrypt` hid; masked wherever it is shown."""
    cipher = _cipher(key)
    try:
        data = base64.b64decode(values.plain_text(encrypted, "`encrypted`"), validate=True)
        return cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], None).decode()
    except (InvalidTag, ValueError, binascii.Error) as problem:
        raise ExpressionError("`encrypted` cannot be decrypted with this key") from problem
