"""Operations on many flows at once: a whole namespace replaced, flows deleted, enabled or disabled.

A namespace is replaced all or nothing at the door: every source is parsed and checked before the first one is stored.
"""

from typing import Any

import msgspec
from aiohttp import web

from levada.flowfile import InvalidFlow, ParsedFlow
from levada.store.port import FlowRow
from levada_api import errors
from levada_api.call import Call, json
from levada_api.flows import saving
from levada_api.flows.crud import shown
from levada_api.flows.search import asked, every
from levada_api.render.execution import bulk


class Name(msgspec.Struct, frozen=True):
    namespace: str
    id: str


async def replace_namespace(call: Call) -> web.Response:
    """POST /flows/{namespace}?delete=true&override=false: make the namespace hold exactly these flows."""
    namespace = call.params["namespace"]
    sources = saving.parts(await call.text())
    if call.flag("override"):
        sources = [saving.with_namespace(source, namespace) for source in sources]
    return json(await _apply(call, sources, namespace, children=False))


async def bulk_update(call: Call) -> web.Response:
    """POST /flows/bulk?namespace&delete&allowNamespaceChild"""
    sources = saving.parts(await call.text())
    return json(await _apply(call, sources, call.arg("namespace"), children=call.flag("allowNamespaceChild")))


async def _apply(call: Call, sources: list[str], namespace: str | None, *, children: bool) -> list[dict[str, Any]]:
    parsed = _all_checked(call, sources, namespace, children)
    out = []
    if namespace is not None and call.flag("delete", True):
        kept = {(each.flow.namespace, each.flow.id) for _, each in parsed}
        arguments = {"namespace": namespace, "namespace_prefix": children}
        for row in [row async for row in every(call, arguments)]:
            if (row.namespace, row.id) not in kept and (gone := await _delete(call, row)) is not None:
                out.append(shown(gone))
    for source, each in parsed:
        out.append(shown(await saving.save(call, source, each, "any")))
    return out


def _all_checked(call: Call, sources: list[str], namespace: str | None, children: bool) -> list[tuple[str, ParsedFlow]]:
    """Parse every source. Raises 422 with the findings of all of them together."""
    parsed, findings, seen = [], [], set()
    for index, source in enumerate(sources):
        try:
            each = saving.checked(call, source)
        except InvalidFlow as error:
            for found in errors.of_problems(error.problems):
                findings.append(msgspec.structs.replace(found, path=f"flows[{index}].{found.path or ''}".rstrip(".")))
            continue
        name = (each.flow.namespace, each.flow.id)
        if name in seen:
            findings.append(errors.FieldError(f"Duplicate flow id {each.flow.id}", f"flows[{index}].id"))
        seen.add(name)
        below = children and each.flow.namespace.startswith(f"{namespace}.")
        if namespace is not None and each.flow.namespace != namespace and not below:
            wrong = f"must be {namespace}, is {each.flow.namespace}"
            findings.append(errors.FieldError(wrong, f"flows[{index}].namespace"))
        parsed.append((source, each))
    if findings:
        raise errors.invalid_entity(findings)
    return parsed


async def _delete(call: Call, row: FlowRow) -> FlowRow | None:
    gone = await call.api.platform.flows.delete(call.tenant, row.namespace, row.id, call.api.now())
    call.api.flows.forget(call.tenant, row.namespace, row.id)
    return gone


async def named(call: Call) -> list[FlowRow]:
    """Return the flows that the body lists. Raises 404 naming the first one that is not there."""
    try:
        names = msgspec.convert(await call.json() or [], list[Name])
    except msgspec.ValidationError as error:
        raise errors.unprocessable(
            f'the body must be a list such as [{{"namespace": "a", "id": "b"}}]: {error}'
        ) from None
    rows = []
    for name in names:
        row = await call.api.platform.flows.get(call.tenant, name.namespace, name.id)
        if row is None:
            raise errors.not_found(f"Unable to find flow {name.namespace}.{name.id}")
        rows.append(row)
    return rows


async def delete_by_ids(call: Call) -> web.Response:
    return await _delete_all(call, await named(call))


async def delete_by_query(call: Call) -> web.Response:
    return await _delete_all(call, [row async for row in every(call, asked(call))])


async def _delete_all(call: Call, rows: list[FlowRow]) -> web.Response:
    gone = [row for row in rows if await _delete(call, row) is not None]
    return json(bulk(len(gone), call.api.new_id()))


def switch(disabled: bool, by_query: bool) -> Any:
    """Return the handler that disables (or enables) flows; it counts those that changed."""

    async def handler(call: Call) -> web.Response:
        rows = [row async for row in every(call, asked(call))] if by_query else await named(call)
        changed = 0
        for row in rows:
            if row.disabled == disabled:
                continue
            source = saving.with_disabled(row.source, disabled)
            await saving.save(call, source, saving.checked(call, source), "update")
            changed += 1
        return json(bulk(changed, call.api.new_id()))

    handler.__name__ = f"{'disable' if disabled else 'enable'}_{'by_query' if by_query else 'by_ids'}"
    return handler
