"""`core.storage.*`: work on files of internal storage, streamed.

`files` moves and removes whole files, `lines` cuts and joins text, `items` reads rows. Memory stays bounded by one line or row, however large the file.
"""
