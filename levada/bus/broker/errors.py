"""What can keep a broker from running here, in words for the person who asked for one."""

from __future__ import annotations

from levada.model.errors import UserError


class BrokerError(UserError):
    """The Kafka broker cannot run here; the message says why and what to do."""


class NoJava(BrokerError):
    """There is no Java that can run Kafka."""


class NoKafka(BrokerError):
    """Kafka's jars are not here and cannot be fetched."""


class FolderInUse(BrokerError):
    """Another process runs a broker on this folder."""
