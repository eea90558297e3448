"""The worker: claims attempts and runs them in bounded slots, without database credentials. Read `worker.py` first."""
