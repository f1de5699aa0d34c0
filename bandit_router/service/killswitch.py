"""``GET/PUT/DELETE /kill-switch``: every request to one model, at once, until it is taken back."""

from __future__ import annotations

from aiohttp import web

from ..fold import Fold
from . import body
from .keys import ENGINE
from .openapi import Operation
from .wire import KillSwitchAnswer, KillSwitchRequest


async def kill_switch(request: web.Request) -> web.Response:
    """Say whether one model is given every request, since when and why."""
    return body.answer(_answer(await request.app[ENGINE].wait()))


async def kill(request: web.Request) -> web.Response:
    """Give every request to one model from now on: nothing is embedded, no strategy asked."""
    asked = await body.read(request, KillSwitchRequest)
    engine = request.app[ENGINE]
    await engine.change(
        "kill_switch", lambda router: {"model": asked.model, "reason": asked.reason}
    )
    return body.answer(_answer(engine.router))


async def revive(request: web.Request) -> web.Response:
    """Let the strategies decide again."""
    engine = request.app[ENGINE]
    await engine.change("kill_switch", lambda router: {"model": None})
    return body.answer(_answer(engine.router))


def _answer(router: Fold) -> KillSwitchAnswer:
    switch = router.killed
    return KillSwitchAnswer(
        on=switch is not None,
        model=switch.model if switch else None,
        since=switch.since if switch else None,
        reason=switch.reason if switch else "",
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/kill-switch",
        handler=kill_switch,
        summary="Whether one model is given every request",
        answer=KillSwitchAnswer,
        errors=(503,),
    ),
    Operation(
        method="PUT",
        path="/kill-switch",
        handler=kill,
        summary="Give every request to one model",
        body=KillSwitchRequest,
        answer=KillSwitchAnswer,
        errors=(503,),
    ),
    Operation(
        method="DELETE",
        path="/kill-switch",
        handler=revive,
        summary="Let the strategies decide again",
        answer=KillSwitchAnswer,
        errors=(503,),
    ),
)
