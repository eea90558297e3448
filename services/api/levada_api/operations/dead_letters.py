"""Dead letters: messages that could not be read or applied, for people to look at, send again or drop.

Replaying sends the message as it was, to where it was going; a command goes through the door of all commands, so it is
durable again. A letter is replayed or dropped once: it is marked before it is sent, and opened again if sending fails.
"""

import base64
from typing import Any

import msgspec
from aiohttp import web

from levada.bus.port import COMMANDS, Outgoing
from levada.model import commands as model
from levada.model.errors import LevadaError
from levada.store.operations import ParkedLetter
from levada_api import errors
from levada_api.call import Call, json, page
from levada_api.render.times import date


async def search(call: Call) -> web.Response:
    limit, offset = call.page()
    letters, total = await call.api.platform.dead_letters.page(
        topic=call.arg("topic"), key=call.arg("key"), handled=call.flag("handled"), limit=limit, offset=offset
    )
    return page([_shown(letter) for letter in letters], total)


async def get(call: Call) -> web.Response:
    letter = await _found(call)
    return json({**_shown(letter), "detail": letter.detail, "body": _body(letter.body)})


async def replay(call: Call) -> web.Response:
    letter = await _found(call)
    command = _command(letter) if letter.topic == COMMANDS else None
    letters = call.api.platform.dead_letters
    if not await letters.mark_replayed(letter.id, call.api.now(), call.user):
        raise _handled(letter)
    try:
        if command is not None:
            await call.api.platform.commands.send([command])
        else:
            await call.api.platform.bus.append([Outgoing(letter.topic, letter.key, letter.body)])
    except LevadaError:
        await letters.reopen(letter.id)
        raise
    return json(_shown(await _found(call)))


async def drop(call: Call) -> web.Response:
    letter = await _found(call)
    if not await call.api.platform.dead_letters.mark_dropped(letter.id, call.api.now(), call.user):
        raise _handled(letter)
    return json(_shown(await _found(call)))


async def _found(call: Call) -> ParkedLetter:
    text = call.params["letter"]
    letter = await call.api.platform.dead_letters.get(int(text)) if text.isdecimal() and len(text) < 19 else None
    if letter is None:
        raise errors.not_found(f"there is no dead letter {text}")
    return letter


def _command(letter: ParkedLetter) -> model.Command:
    try:
        command: model.Command = model.decode(letter.body)
        return command
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise errors.unprocessable(
            f"dead letter {letter.id} can not be sent again: this version can not read it ({error}); "
            "upgrade to the one that wrote it, or drop it"
        ) from None


def _handled(letter: ParkedLetter) -> errors.ApiError:
    what = "sent again" if letter.replayed is not None else "dropped"
    return errors.illegal_state(f"dead letter {letter.id} was {what} already")


def _shown(letter: ParkedLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": letter.key,
        "reason": letter.reason,
        "date": date(letter.at),
        "size": len(letter.body),
        "state": "OPEN" if letter.open else "REPLAYED" if letter.replayed is not None else "DROPPED",
        "handledDate": date(handled) if (handled := letter.replayed or letter.dropped) is not None else None,
        "handledBy": letter.handled_by,
    }


def _body(body: bytes) -> dict[str, Any]:
    """Return the message as people can read it: JSON, text, or base64."""
    try:
        return {"json": msgspec.json.decode(body)}
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}
