"""Health and metrics on the API's own port; the management port answers the same (levada/runtime/management.py).

Health says nothing that helps an attacker, so it is public. Metrics on this port need credentials like everything else.
"""

from aiohttp import web

from levada.model.errors import Defect
from levada.runtime import management
from levada_api.call import Call


async def answer(call: Call) -> web.Response:
    found = await management.answer(call.request.path, call.api.health)
    if found is None:
        raise Defect(f"the table of routes has {call.request.path}, the management port does not")
    return found.response()
