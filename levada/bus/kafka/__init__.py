"""The bus over Kafka, on aiokafka. Begin with `bus.py`; ADR 12 says why there is neither a group nor a transaction."""

from levada.bus.kafka.blobs import BlobMissing, BlobStore
from levada.bus.kafka.bus import KafkaBus
from levada.bus.kafka.connection import KafkaSettings

__all__ = ["BlobMissing", "BlobStore", "KafkaBus", "KafkaSettings"]
