"""Sending again what the bus should hold and may have lost, and who serves this installation.

Executors do this by themselves for what they find missing. Asking for it sends everything that was accepted and is not
applied yet, without looking whether it is on the bus; what comes twice is applied once.
"""

from collections.abc import Mapping

from aiohttp import web

from levada.bus.port import COMMANDS
from levada.runtime.accepting import AcceptedCommands
from levada_api.call import Call, json
from levada_api.render.times import date

BATCH = 1000
#: Of one partition in one call; the oldest.
AT_ONCE = 20_000
#: What was accepted less long ago is surely on its way.
ON_ITS_WAY_US = 1_000_000


async def reconcile(call: Call) -> web.Response:
    platform = call.api.platform
    sent, more = 0, False
    if platform.ingress is not None and isinstance(platform.commands, AcceptedCommands):
        before = call.api.now() - ON_ITS_WAY_US
        for partition in range(platform.bus.partitions):
            rows = await platform.ingress.waiting([partition], before, AT_ONCE)
            for at in range(0, len(rows), BATCH):
                await platform.commands.resend(rows[at : at + BATCH])
            sent += len(rows)
            more = more or len(rows) == AT_ONCE
    platform.notify_jobs()
    return json({"commands": sent, "more": more, "durableBus": platform.ingress is None})


async def members(call: Call) -> web.Response:
    """GET /cluster/services: the processes that serve this installation, and who owns what."""
    found = await call.api.platform.members.all(call.arg("service"))
    _, owners = await call.api.platform.members.survey("executor", COMMANDS)
    return json(
        [
            {
                "service": member.service,
                "name": member.name,
                "state": "UP" if member.live else "DOWN",
                "started": date(member.started),
                "leaseUntil": date(member.lease_until),
                **member.info,
                **({"partitions": _owned(owners, member.name)} if member.service == "executor" else {}),
            }
            for member in found
        ]
    )


def _owned(owners: Mapping[int, str | None], name: str) -> list[int]:
    """Return the partitions of the commands topic in this name; what a member says of itself is a moment old."""
    return sorted(part for part, owner in owners.items() if owner == name)
