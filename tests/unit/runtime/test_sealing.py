from __future__ import annotations

import pytest

from levada.model.errors import UserError
from levada.runtime import sealing

KEY, OTHER, NONCE = b"k" * 32, b"o" * 32, b"n" * 12


def test_a_sealed_value_opens_with_its_key_at_any_depth():
    value = sealing.seal(KEY, "pässword", NONCE)
    assert "ssword" not in value["value"]
    assert sealing.opener(KEY)({"a": {"b": value}, "c": 1}) == {"a": {"b": "pässword"}, "c": 1}


def test_without_a_key_nothing_is_opened():
    value = sealing.seal(KEY, "x", NONCE)
    assert sealing.opener(None)({"a": value}) == {"a": value}


def test_another_key_or_a_damaged_value_is_an_error_that_says_so():
    value = sealing.seal(KEY, "x", NONCE)
    for wrong in (value, {**value, "value": "%%%"}, {**value, "value": ""}):
        with pytest.raises(UserError, match="sealed with another"):
            sealing.opener(OTHER)({"a": wrong})
