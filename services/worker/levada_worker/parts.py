"""The parts of a worker that an attempt uses, and how the world of the attempt is put together from them.

Most are shared by all attempts; internal storage and services are those that the claim of this one opens.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from levada.files.port import Files
from levada.model.errors import UserError
from levada.model.jobs import Job, JobTask
from levada.runtime.clock import Clock
from levada.sdk.context import Services
from levada.sdk.properties import convert
from levada.sdk.registry import Registry
from levada_worker.attempt_log import AttemptLog
from levada_worker.config import WorkerConfig
from levada_worker.context import ProcessLimits, Urgency, WorkerContext
from levada_worker.functions import ServiceHost
from levada_worker.logs import Identity, LogBuffer
from levada_worker.mask import Masker
from levada_worker.process.guarded import Guard
from levada_worker.render import Renderer
from levada_worker.storage import TaskStorage, folder_of


@dataclass(frozen=True, slots=True)
class Parts:
    config: WorkerConfig
    clock: Clock
    files: Files
    registry: Registry
    services: Services
    buffer: LogBuffer
    guard: Guard
    threads: ThreadPoolExecutor
    #: Opens sealed values; None where no key is configured.
    encryption_key: bytes | None = None

    def log(self, job: Job, task: JobTask, task_run_id: str, masker: Masker, attempt: int) -> AttemptLog:
        """A log for one attempt of `task`; with `logToFile` its lines go to a file beside the working directories."""
        identity = Identity(
            execution_id=job.execution_id,
            namespace=job.namespace,
            flow_id=job.flow_id,
            tenant=job.tenant,
            task_id=task.id,
            task_run_id=task_run_id,
            attempt=attempt,
        )
        file = None
        if task.log_to_file:
            self.config.temp_dir.mkdir(parents=True, exist_ok=True)
            file = self.config.temp_dir / f"{task_run_id}-{job.attempt}-{attempt}.log"
        return AttemptLog(
            identity,
            self.buffer,
            masker,
            self.clock.now_us,
            line_bytes=self.config.log_line_bytes,
            limit_bytes=self.config.attempt_log_bytes,
            minimum=task.log_level,
            file=file,
        )

    def context(
        self, job: Job, log: AttemptLog, variables: Mapping[str, Any], folder: Path, urgency: Urgency
    ) -> WorkerContext:
        """The world of the attempt whose lines go to `log`."""
        services = self.services
        me = log.identity
        fetching: list[WorkerContext] = []

        async def fetch(properties: dict[str, Any]) -> Any:
            return await self._fetch(properties, fetching[0])

        host = ServiceHost(
            services,
            self.files,
            log.masker,
            namespace=job.namespace,
            execution_id=job.execution_id,
            fetch=fetch,
        )
        config = self.config
        limits = ProcessLimits(
            kill_grace_s=config.kill_grace_s, line_bytes=config.log_line_bytes, rate_bytes=config.stdout_rate_bytes
        )
        storage = TaskStorage(
            self.files, folder_of(job, me.task_id, me.task_run_id), job.namespace, services.namespace_files
        )
        context = WorkerContext(
            job,
            log,
            Renderer(variables, host, self.threads),
            storage,
            services,
            self.guard,
            limits,
            folder,
            urgency,
            config.data_dir / "cache",
        )
        fetching.append(context)
        return context

    async def keep_log(self, job: Job, log: AttemptLog) -> str | None:
        """Close the log; store its file, if it has one, and return the URI."""
        path = log.close()
        if path is None:
            return None
        me = log.identity
        uri = f"{folder_of(job, me.task_id, me.task_run_id)}/attempt-{max(job.attempt, me.attempt)}.log"
        await self.files.put(uri, path)
        path.unlink()
        return uri

    async def _fetch(self, properties: dict[str, Any], context: WorkerContext) -> Any:
        """The `http` function is the HTTP task, so that both obey the same rules."""
        cls = self.registry.task("core.http.Request")
        if cls is None:
            raise UserError("function `http` needs the task type core.http.Request, which is not installed")
        outputs = await convert(cls, properties).run(context)
        return outputs["body"] if isinstance(outputs, dict) else outputs.body
