"""The indexer service: logs, metrics and audit in batches. In this release executor and worker write them directly."""
