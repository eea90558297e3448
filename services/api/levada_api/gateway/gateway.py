"""The parts of the gateway that all its requests share, put together once when the api service starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from levada.files.port import Files
from levada.files.scope import ScopedFiles
from levada.model.jobs import Grant
from levada.runtime.platform import Platform
from levada.runtime.scoped import ScopedServices
from levada.runtime.sinks import LogSink
from levada.sdk.context import Services
from levada_api.auth import Gate
from levada_api.gateway.door import Claims, Door
from levada_api.gateway.polls import Polls


@dataclass(frozen=True, slots=True)
class Gateway:
    door: Door
    claims: Claims
    platform: Platform
    polls: Polls

    @classmethod
    def of(cls, platform: Platform, gate: Gate) -> Self:
        return cls(Door(platform.config, gate), Claims(platform.claims, platform.clock), platform, Polls())

    @property
    def sink(self) -> LogSink:
        return self.platform.log_sink

    def services(self, grant: Grant) -> Services:
        """What the task of this claim may use."""
        return ScopedServices(self.platform.services(grant.tenant), grant.namespace)

    def files(self, grant: Grant) -> Files:
        return ScopedFiles(self.platform.files, grant.namespace, grant.flow_id, grant.held.execution_id)
