"""Flows over HTTP: `crud` for one, `search` for many, `checking` without saving, `many` and `importing` in bulk.

`saving` is the one way into the store: whatever comes in is parsed and checked there, and its source kept byte for byte.
"""
