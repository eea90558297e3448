"""The bus: partitioned, ordered logs. `port.py` is the contract, the other modules its adapters."""
