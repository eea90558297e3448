"""The services of a tenant as the tasks of one namespace may use them: secrets only of it and of those above.

Keys, namespace files and control operations reach the whole tenant, as in Kestra. The same rule holds in the process of
the platform and behind the worker gateway. Imports no store: workers use it too.
"""

from levada.model.errors import UserError
from levada.sdk.context import Control, Kv, NamespaceFiles, Secrets, Services


class ScopedServices:
    """`sdk.Services` of one namespace."""

    def __init__(self, services: Services, namespace: str) -> None:
        self._services = services
        self.secrets = ScopedSecrets(services.secrets, namespace)

    @property
    def kv(self) -> Kv:
        return self._services.kv

    @property
    def namespace_files(self) -> NamespaceFiles:
        return self._services.namespace_files

    @property
    def control(self) -> Control:
        return self._services.control


class ScopedSecrets:
    """`sdk.Secrets` of one namespace."""

    def __init__(self, secrets: Secrets, namespace: str) -> None:
        self._secrets = secrets
        self._namespace = namespace

    async def get(self, namespace: str, key: str) -> str | None:
        """Raises UserError for a namespace that is neither this one nor above it."""
        if namespace != self._namespace and not self._namespace.startswith(f"{namespace}."):
            raise UserError(
                f"a task in namespace {self._namespace} may not read secrets of {namespace}, only those of its own "
                "namespace and the ones above"
            )
        return await self._secrets.get(namespace, key)
