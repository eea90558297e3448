"""Internal storage. `port.py` is the contract, the other modules its adapters."""
