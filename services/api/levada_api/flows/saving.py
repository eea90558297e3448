"""From a source text to a stored revision.

Everything that is saved was parsed strictly first. The source is stored as it came; a JSON body is its own source, since
JSON is YAML. The cache of parsed flows hears of every change at once, so that the next start runs the new revision.
"""

import re
from typing import Any

import msgspec

from levada.flowfile import ParsedFlow, documents, loader, parse
from levada.store.port import FlowRow
from levada_api import errors
from levada_api.call import Call

_NAMESPACE_LINE = re.compile(r"^namespace:.*$", re.MULTILINE)
_DISABLED_LINE = re.compile(r"^disabled[ \t]*:.*$", re.MULTILINE)


async def source_of(call: Call, **defaults: str) -> str:
    """Return the flow in the body. A JSON object may leave out `id` and `namespace` where `defaults` has them."""
    limit = call.api.config.limits.flow_source
    text = await call.text()
    if len(text.encode()) > limit:
        raise errors.too_large("the flow's source", limit)
    if call.request.content_type != "application/json" or not text.lstrip().startswith("{"):
        return text
    data = await call.json()
    missing = {name: value for name, value in defaults.items() if name not in data}
    if not missing:
        return text
    return msgspec.json.format(msgspec.json.encode({**missing, **data}), indent=2).decode()


def parts(text: str) -> list[str]:
    """Return the sources of a body that may hold several documents; none for an empty one."""
    return [piece.source for piece in documents.split(text) if piece.source.strip()]


def checked(call: Call, source: str) -> ParsedFlow:
    """Parse and check. Raises InvalidFlow (422 with every problem, its line and its column)."""
    return parse(source, call.api.registry, tenant=call.tenant)


async def save(call: Call, source: str, parsed: ParsedFlow, must: str) -> FlowRow:
    """Store as the next revision. Raises 422 when `must` is "create" and it exists, 404 when "update" and it does not."""
    flow = parsed.flow
    row = FlowRow(
        tenant=call.tenant,
        namespace=flow.namespace,
        id=flow.id,
        revision=0,
        source=source,
        updated=call.api.now(),
        disabled=flow.disabled,
        draft=flow.draft or call.flag("draft"),
        labels=dict(flow.labels),
        description=flow.description,
    )
    saved = await call.api.platform.flows.save(row, must=must)
    call.api.flows.forget(call.tenant, flow.namespace, flow.id)
    return saved


def data_of(source: str) -> Any:
    """Return the plain data of a source; None for one that cannot be read any more."""
    try:
        return loader.load(source).data
    except loader.BadYaml:
        return None


def with_namespace(source: str, namespace: str) -> str:
    """Return the source with its first `namespace:` line replaced."""
    return _NAMESPACE_LINE.sub(lambda _: f"namespace: {namespace}", source, count=1)


def with_disabled(source: str, disabled: bool) -> str:
    """Return the source with `disabled` set: its line replaced, or one appended."""
    line = f"disabled: {'true' if disabled else 'false'}"
    if _DISABLED_LINE.search(source):
        return _DISABLED_LINE.sub(line, source, count=1)
    return source.rstrip("\n") + f"\n{line}\n"
