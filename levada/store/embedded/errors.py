"""What can keep the embedded Postgres from running, in words for the person who starts Levada."""

from __future__ import annotations

from levada.model.errors import UserError


class EmbeddedPostgresError(UserError):
    """The embedded Postgres cannot run here; the message says why and what to do."""


class DataDirInUse(EmbeddedPostgresError):
    """Another process owns this data folder."""
