"""The HTTP tasks and their polling trigger."""

from datetime import timedelta

from levada.plugins.core.http.options import Requesting
from levada.sdk import PollingTrigger, Task

REQUEST_DEPRECATED = frozenset({"allowFailed", "sslOptions"})


class Request(Requesting, Task):
    """Makes a request and returns the response's body."""

    TYPE = "core.http.Request"
    ALIASES = ("io.kestra.plugin.fs.http.Request",)
    DEPRECATED_PROPERTIES = REQUEST_DEPRECATED

    encrypt_body: bool = False
    allow_failed: bool | None = None


class Download(Requesting, Task):
    """Makes a request and stores the response's body as a file."""

    TYPE = "core.http.Download"
    ALIASES = ("io.kestra.plugin.fs.http.Download",)
    DEPRECATED_PROPERTIES = REQUEST_DEPRECATED

    fail_on_empty_response: bool = True
    save_as: str | None = None
    allow_failed: bool | None = None


class SseRequest(Requesting, Task):
    """Reads a stream of server-sent events to its end."""

    TYPE = "core.http.SseRequest"
    DEPRECATED_PROPERTIES = REQUEST_DEPRECATED

    concat_jq_expression: str | None = None
    failed_on_missing_jq: bool = True
    allow_failed: bool | None = None


class HttpTrigger(Requesting, PollingTrigger):
    """Starts an execution when the response meets `responseCondition`."""

    TYPE = "core.http.Trigger"
    ALIASES = ("io.kestra.plugin.fs.http.Trigger",)
    RAW = frozenset({"responseCondition"})
    DEPRECATED_PROPERTIES = frozenset({"sslOptions"})

    interval: timedelta = timedelta(minutes=1)
    encrypt_body: bool = False
    response_condition: str = "{{ response.statusCode < 400 }}"


TASKS = [Request, Download, SseRequest, HttpTrigger]
