"""Whether a process would start with the environment that a deployment gives it: asked of the configuration itself."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

from levada.runtime.config import ConfigError, load

KEY = base64.b64encode(bytes(32)).decode()
STAND_INS = {"LEVADA_ENCRYPTION_KEY": KEY, "LEVADA_DATABASE_URL": "postgresql://levada:secret@postgres:5432/levada"}
"""For values that only the installation knows."""


def problems(place: str, given: Mapping[str, str]) -> Iterator[str]:
    """Yield unknown settings and wrong values."""
    # A file that is mounted there is not here.
    told = {name: value for name, value in given.items() if not name.endswith("_FILE")}
    try:
        load(environ=told)
    except ConfigError as error:
        yield from (f"{place}: {line}" for line in str(error).splitlines())
