"""The webhook service: public ingestion of webhooks, and nothing else. In this release the api service answers them."""
