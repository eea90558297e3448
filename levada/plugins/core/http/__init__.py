"""`core.http.*`: requests, downloads, event streams, and the trigger that polls an address.

Read `options` (what a flow may set), then `client` (one request, made safely), then the tasks.
"""
