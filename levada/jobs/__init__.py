"""The work queue. `port.py` is the contract, the other modules its adapters."""
