"""No form of a secret gets through."""

import base64
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada_worker.mask import Masker

SECRET = "pa$$ wörd/+'\"&<x>"


def hidden(secret: str, text: str) -> str:
    masker = Masker()
    masker.add([secret])
    return masker.hide(text)


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        shlex.quote(SECRET),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        "pa$$ wörd/+'\"&amp;&lt;x&gt;",
    ],
)
def test_every_form_is_hidden(form: str) -> None:
    shown = hidden(SECRET, f"before {form} after")
    assert "******" in shown
    assert form.strip("'=") not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@given(st.text(alphabet="abcdefghij0123456789", min_size=8, max_size=30), st.binary(max_size=7), st.binary(max_size=7))
def test_a_secret_inside_an_encoded_text_is_hidden(secret: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    assert "******" in hidden(secret, encoded)


def test_each_line_of_a_key_is_hidden() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEFA\n-----END KEY-----\n"
    for line in key.splitlines():
        assert hidden(key, f"  {line}") == "  ******"


def test_the_longest_secret_wins() -> None:
    masker = Masker()
    masker.add(["abcd", "abcdefgh"])
    assert masker.hide("x abcdefgh y abcd") == "x ****** y ******"


def test_secrets_learnt_later_are_hidden_from_then_on() -> None:
    masker = Masker()
    assert masker.hide("token-1") == "token-1"
    masker.add(["token-1"])
    masker.add([])
    assert masker.hide("token-1") == "******"


def test_tiny_and_empty_secrets_do_not_blank_the_log() -> None:
    masker = Masker()
    masker.add(["", "1", "no"])
    assert masker.hide("1 no yes") == "1 no yes"
