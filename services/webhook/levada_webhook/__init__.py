"""The webhook service: public ingestion of webhooks, and nothing else; it scales alone. Start reading at `server.py`."""
