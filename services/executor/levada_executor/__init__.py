"""The executor: the only writer of execution events. Read `executor.py` for the loop, `batch.py` for one batch."""
