"""What every handler needs: the platform of this process and what the API derives from it.

`Api` is made once, when the service starts, and handed to every handler through `Call.api`. It holds no state of requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from levada.engine import Environment
from levada.flowfile import FlowCache
from levada.runtime.auditing import AuditTrail
from levada.runtime.clock import Clock, new_id
from levada.runtime.config import Config
from levada.runtime.health import Health
from levada.runtime.platform import Platform
from levada.runtime.starting import Starter
from levada.sdk.registry import Registry
from levada_api.auth import Gate
from levada_api.gateway.gateway import Gateway
from levada_api.streams import Streams


@dataclass(frozen=True, slots=True)
class Api:
    platform: Platform
    config: Config
    registry: Registry
    flows: FlowCache
    gate: Gate
    gateway: Gateway
    health: Health
    #: What expressions read of the installation (globals, envs).
    environment: Environment
    #: Epoch microseconds at which this process began.
    started: int
    #: Takes a record of every request that may change something.
    trail: AuditTrail
    streams: Streams = field(default_factory=Streams)

    @property
    def clock(self) -> Clock:
        return self.platform.clock

    @property
    def starter(self) -> Starter:
        """What makes starts out of flows."""
        platform = self.platform
        return Starter(platform.clock, self.environment, platform.secrets, platform.kv, platform.encryption_key)

    def now(self) -> int:
        """Epoch microseconds."""
        return self.platform.clock.now_us()

    def new_id(self) -> str:
        return new_id(self.platform.clock)

    def address(self) -> str:
        """The address under which people reach the UI, without a trailing slash."""
        if self.config.server.url is not None:
            return self.config.server.url.rstrip("/")
        return f"http://{self.config.host}:{self.config.port}"
