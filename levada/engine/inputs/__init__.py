"""Inputs of flows (and of Pause.onResume): defaults, conditions, typing and validation.

`resolve` turns what a caller gave into the typed values that expressions read as `inputs.*`, or raises `InvalidInputs`
naming every input that is wrong, in Kestra's words. FILE values are URIs already: whoever received the upload stored it.
"""

from levada.engine.inputs.resolve import InvalidInput, InvalidInputs, declared, resolve, resolve_declared
from levada.engine.inputs.types import TypeMismatch, convert

__all__ = ["InvalidInput", "InvalidInputs", "TypeMismatch", "convert", "declared", "resolve", "resolve_declared"]
