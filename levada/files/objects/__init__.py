"""Internal storage in an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.

`opening.py` turns an address and its credentials into the adapter, `adapter.py` is the adapter, `failures.py` says in our
words what the store or the way to it refused. The client is a library of 16 MB: nothing imports this package before
`storage.url` names an object store.
"""
