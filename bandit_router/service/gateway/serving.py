"""Getting the answer and passing it on; a client that leaves ends the call of the endpoint."""

from __future__ import annotations

import asyncio

from aiohttp import ClientConnectionResetError, web

from ...providers import Call, Json, Served, Stream, Unserved, UpstreamError, Whole, broken, spoken
from ...types import Outcome
from ..access import caller
from ..errors import Refused
from ..keys import ENGINE, FLEET
from .answered import Answered, announce
from .record import Record, costs, failures, headers
from .target import Target

_LEFT = "the client left"
_ASKED_WRONGLY = ("refused", "too_long", "unsupported")


async def serve(request: web.Request, call: Call, target: Target) -> web.StreamResponse:
    """Answer a request by the first of the target's models that can be had."""
    record = Record(request.app[ENGINE], target.decision, caller(request))
    with record.held(target.order[0], call):
        return await _served(request, call, target, record)


async def _served(
    request: web.Request, call: Call, target: Target, record: Record
) -> web.StreamResponse:
    try:
        served = await request.app[FLEET].serve(target.order, call)
    except Unserved as unserved:
        record.failures(unserved.failures)
        return _unserved(call, target, unserved)
    except asyncio.CancelledError:
        record.left(target.order[0], call, _LEFT)
        raise
    record.failures(served.failures)
    try:
        if target.written is not None:  # it was, while the endpoint was at work
            await target.written
        if isinstance(served.content, Whole):
            return await _whole(request, call, served, served.content, record)
        return await _pass_on(request, call, served, served.content, record)
    finally:
        if isinstance(served.content, Stream):
            await served.content.close()


async def _whole(
    request: web.Request, call: Call, served: Served, content: Whole, record: Record
) -> web.Response:
    """Give the client its answer, and learn from it after that."""
    outcome = record.observed(served, call)
    said = headers(record.decision, served) | costs(outcome)
    response = web.Response(body=content.body, content_type="application/json", headers=said)
    try:
        await response.prepare(request)
        await response.write_eof()
    finally:
        record.log(outcome)
    _announce(request, call, served, record, outcome)
    return response


async def _pass_on(
    request: web.Request, call: Call, served: Served, stream: Stream, record: Record
) -> web.StreamResponse:
    """Pass the pieces of a stream on as they come."""
    response = web.StreamResponse(headers=headers(record.decision, served))
    response.content_type = "text/event-stream"
    response.headers["Cache-Control"] = "no-cache"
    failure: str | None = None
    try:
        await response.prepare(request)
        failure = await _pieces(request, call, served, stream, response)
        await response.write_eof()
    except (ClientConnectionResetError, asyncio.CancelledError):
        failure = _LEFT
        raise
    finally:
        if failure is not None:
            record.broken_off(served, call, failure)
    if failure is None:
        outcome = record.observed(served, call)
        record.log(outcome)
        _announce(request, call, served, record, outcome)
    return response


async def _pieces(
    request: web.Request,
    call: Call,
    served: Served,
    stream: Stream,
    response: web.StreamResponse,
) -> str | None:
    """Write every piece; return what went wrong, having told the client."""
    try:
        async with asyncio.timeout_at(call.deadline):
            async for piece in stream.pieces():
                await response.write(piece)
    except TimeoutError:
        error = UpstreamError("the deadline has passed", "deadline")
    except UpstreamError as broke:
        error = broke
    else:
        return None
    request.app[FLEET].broke_off(served, error)
    await response.write(broken(f"the stream broke off: {error}", call.form))
    return str(error)


def _announce(
    request: web.Request, call: Call, served: Served, record: Record, outcome: Outcome
) -> None:
    if call.form == "embeddings":  # nobody was answered anything that could be judged
        return
    told = Answered(call, served.answer, outcome, record.decision, call.session, caller(request))
    announce(request.app, told)


def _unserved(call: Call, target: Target, unserved: Unserved) -> web.Response:
    """Return the answer of an endpoint that refused the request, or raise what became of it.

    Raises
    ------
    Refused
        422, 429, 502 or 504, with what was tried.
    """
    last = unserved.last
    failed = unserved.failures
    said = headers(target.decision) | failures(failed, len(failed))
    if last.kind in _ASKED_WRONGLY:
        same = (call.form == "messages") == (failed[-1].endpoint.kind == "anthropic")
        if last.body and same:
            return web.Response(
                body=last.body, status=last.status or 502, content_type="application/json",
                headers=said,
            )  # fmt: skip
        raise Refused(last.status or 502, str(last), headers=said)
    if last.kind == "unfit":
        raise Refused(422, str(last), headers=said)
    if last.kind == "deadline":
        raise Refused(504, f"no answer in time; the last: {last}", headers=said)
    if all(failure.error.kind == "rate_limited" for failure in failed):
        waits = [f.error.retry_after for f in failed if f.error.retry_after is not None]
        said["Retry-After"] = str(max(1, round(min(waits, default=1.0))))
        raise Refused(429, f"every endpoint is over its limit; the last: {last}", headers=said)
    raise Refused(502, f"no endpoint answered; the last: {last}", headers=said)


async def demonstrate(
    request: web.Request, call: Call, target: Target, answer: Json
) -> web.StreamResponse:
    """Answer in the demo fleet's words, in whatever API the client speaks."""
    said = headers(target.decision)
    data = spoken(call, answer)
    if not call.stream:
        return web.Response(body=data, content_type="application/json", headers=said)
    return web.Response(body=data, content_type="text/event-stream", headers=said)
