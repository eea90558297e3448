"""What workers ask for themselves: work, longer leases, what to stop; and what they say: results, and that they are there.

A question for work stays open until there is some. Many wait at once, and one query serves them all (jobs/dealing.py). A
worker that is gone by the time there is an answer must not take attempts along: the connection is watched while it waits,
and what cannot be delivered is given back at once, so that somebody else runs it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import version

from aiohttp import web

from levada.jobs.commands import given_back
from levada.model.commands import TaskFinished
from levada.model.errors import Transient
from levada.model.jobs import Claim, Held
from levada.runtime import metrics, wire
from levada_api.call import Call
from levada_api.gateway.exchange import answer, body, nothing
from levada_api.gateway.polls import Gone, gone

log = logging.getLogger("levada.api.gateway")

#: A worker that says nothing for so long is not counted as there any more.
PRESENCE_S = 15.0


async def claim(call: Call) -> web.StreamResponse:
    wanted = await body(call, wire.ClaimWanted)
    claims: list[Claim] = []
    jobs = call.api.platform.jobs
    timeout_s = min(wanted.timeout_s, wire.LONGEST_POLL_S)
    with call.api.streams.open():
        asked = jobs.claim(wanted.worker, wanted.queues, wanted.limit, timeout_s=timeout_s, tags=wanted.tags)
        claims = await call.api.gateway.polls.wait(call.request, asked, counted=True)
    metrics.GATEWAY_LOOKS.follow(call.api.platform.claims.looks)
    call.api.gateway.claims.dealt(claims, call.api.config.worker.lease)
    response = answer(claims)
    try:
        await _deliver(call.request, response)
    except (Gone, ConnectionError):
        await _give_back(call, wanted.worker, claims)
        return response
    for one in claims:
        metrics.GATEWAY_CLAIMS.inc(one.job.queue)
    return response


async def _deliver(request: web.BaseRequest, response: web.Response) -> None:
    """Write the whole answer. Raises Gone or ConnectionError when nobody is there to read it."""
    if gone(request):
        raise Gone
    await response.prepare(request)
    await response.write_eof()
    if gone(request):
        raise Gone


async def _give_back(call: Call, worker: str, claims: Sequence[Claim]) -> None:
    if not claims:
        return
    log.info("worker %s is gone before it got %d attempts: others may have them", worker, len(claims))
    now = call.api.now()
    try:
        await call.api.platform.jobs.report([given_back(one, now) for one in claims])
    except Transient as error:
        log.warning("%d attempts wait for the end of their leases: %s", len(claims), error)


async def renew(call: Call) -> web.Response:
    wanted = await body(call, wire.Renewal)
    return answer(await call.api.platform.jobs.renew(wanted.worker, wanted.held))


async def cancelled(call: Call) -> web.Response:
    wanted = await body(call, wire.CancelsWanted)
    found: list[Held] = []
    timeout_s = min(wanted.timeout_s, wire.LONGEST_POLL_S)
    with call.api.streams.open():
        asked = call.api.platform.jobs.cancelled(wanted.worker, timeout_s=timeout_s)
        found = await call.api.gateway.polls.wait(call.request, asked)
    return answer(found)


async def report(call: Call) -> web.Response:
    results = await body(call, wire.Results)
    await call.api.platform.jobs.report(results)
    for one in results:
        if isinstance(one, TaskFinished):
            metrics.GATEWAY_RESULTS.inc(one.state)
    return nothing()


async def hello(call: Call) -> web.Response:
    said = await body(call, wire.Hello)
    await call.api.platform.members.beat("worker", said.worker, PRESENCE_S, said.info)
    config, now = call.api.config, call.api.clock.now_us()
    return answer(wire.Welcome(lease_s=config.worker.lease, version=version("levada"), now=now))


async def goodbye(call: Call) -> web.Response:
    said = await body(call, wire.Hello)
    await call.api.platform.members.leave("worker", said.worker)
    return nothing()
