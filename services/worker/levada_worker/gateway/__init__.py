"""The control plane over HTTP, for a worker in a process of its own: the ports of the worker, spoken to the gateway.

`connection.py` finds a gateway that answers; `jobs.py`, `services.py`, `files.py` and `sink.py` are the ports over it.
"""
