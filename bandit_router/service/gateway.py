"""``POST /v1/chat/completions`` and ``GET /v1/models``: change one base URL and be routed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from ..exceptions import InvalidInput, NoEligibleArm, UnknownModel
from ..providers import Attempt, Served, UpstreamError
from ..types import Decision, Model, Need, Outcome, Request
from . import body
from .demo.answer import completion
from .errors import Refused
from .keys import ENGINE, FLEET
from .openapi import Operation
from .pins import refuse_contradiction, with_pins
from .routing import texts_of_messages
from .usage import Usage, UsageReader
from .wire import ChatRequest, ModelList, ModelListed

AUTO = "auto"
_BROKEN = b'data: {"error": {"type": "upstream_error", "message": "the stream broke off"}}\n\n'
PATH = "/chat/completions"
DECISION, MODEL, CLUSTER, FAILED = (
    f"x-bandit-router-{name}" for name in ("decision-id", "model", "cluster", "failed")
)


async def list_models(request: web.Request) -> web.Response:
    """List `auto`, the profiles, and every model that can be served."""
    engine = request.app[ENGINE]
    router = await engine.wait()
    names = [AUTO, *(profile.name for profile in router.settings.profiles)]
    names += [name for name, model in router.models.items() if model.endpoints or engine.demo]
    return body.answer(ModelList(data=[ModelListed(id=name) for name in names]))


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer a conversation by the model that has earned it, or by the one that is named."""
    engine = request.app[ENGINE]
    asked = await body.read(request, ChatRequest)
    raw: dict[str, Any] = msgspec.json.decode(await request.read())
    router = await engine.wait()
    if asked.model != AUTO and asked.model in router.models:
        named = router.models[asked.model]
        if not named.endpoints:
            raise InvalidInput(f"{asked.model!r} has no endpoint: it cannot be served", "model")
        refuse_contradiction(request, asked.model, router.models)
        return await _serve(request, raw, [named], None, asked.stream)
    profile = _profile(asked.model, [p.name for p in router.settings.profiles], router.models)
    text, meaning = texts_of_messages(asked.messages, router.settings.server.max_prompt_chars)
    servable = tuple(n for n, m in router.models.items() if m.endpoints or engine.demo)
    if not servable:
        raise NoEligibleArm("no model has an endpoint: none can be served", "model")
    wanted = Request(
        models=servable, profile=profile, needs=_needs(raw), user=asked.user,
        session_id=request.headers.get("x-bandit-router-session"),
    )  # fmt: skip
    wanted = with_pins(request, wanted, router.models)
    decision, demo = await engine.route(text, meaning=meaning, request=wanted)
    if engine.demo:
        return await completion(request, decision, demo, asked.stream, _headers(decision))
    ranked = sorted(
        decision.candidates,
        key=lambda c: (c.model != decision.model, -(c.utility or 0.0), -c.propensity),
    )
    order = [router.models[c.model] for c in ranked if c.model in router.models]
    return await _serve(request, raw, order, decision, asked.stream)


def _profile(name: str, profiles: list[str], known: dict[str, Model]) -> str | None:
    if name == AUTO:
        return None
    if name in profiles:
        return name
    raise UnknownModel(f"no model or profile {name!r}; {AUTO!r} routes", "model")


def _needs(raw: dict[str, Any]) -> tuple[Need, ...]:
    """Return what a model must be able to do for this request."""
    needs: list[Need] = []
    if raw.get("tools") or raw.get("functions"):
        needs.append("tools")
    if isinstance(kind := raw.get("response_format"), dict) and kind.get("type") != "text":
        needs.append("json")
    contents = [m.get("content") for m in raw["messages"] if isinstance(m, dict)]
    parts = [p for c in contents if isinstance(c, list) for p in c if isinstance(p, dict)]
    if any(p.get("type") == "image_url" for p in parts):
        needs.append("vision")
    return tuple(needs)


async def _serve(
    request: web.Request,
    raw: dict[str, Any],
    order: list[Model],
    decision: Decision | None,
    stream: bool,
) -> web.StreamResponse:
    """Get an answer, pass it on, and log what was observed."""
    fleet = request.app[FLEET]
    note = _Notes(request, decision)
    try:
        served = await fleet.serve(order, PATH, raw)
    except UpstreamError as error:
        await note.failed(order[0].name, str(error))
        if not error.retryable and error.body:
            return web.Response(
                body=error.body, status=error.status or 502, content_type="application/json",
                headers=_headers(decision, order[0].name),
            )  # fmt: skip
        raise Refused(502, f"no endpoint answered; the last: {error}") from None
    headers = _headers(decision, served.attempt.model.name)
    if served.failures:
        headers[FAILED] = ", ".join(dict.fromkeys(f.model for f in served.failures))
    if stream:
        return await _pass_on(request, served, headers, note)
    try:
        data, parsed = await served.attempt.json()
    except UpstreamError as error:
        fleet.failed(served.attempt.model, served.attempt.endpoint)
        rest = [m for m in order if m.name != served.attempt.model.name]
        await note.failed(served.attempt.model.name, str(error))
        if not rest:
            raise Refused(502, f"no endpoint answered; the last: {error}") from None
        return await _serve(request, raw, rest, decision, stream)
    seconds = monotonic() - served.started
    fleet.answered(served.attempt, seconds)
    await note.answered(served.attempt, seconds, Usage.of(parsed, raw))
    return web.Response(body=data, content_type="application/json", headers=headers)


async def _pass_on(
    request: web.Request, served: Served, headers: dict[str, str], note: _Notes
) -> web.StreamResponse:
    """Pass the bytes of a stream on as they come; a client that leaves ends the upstream call."""
    upstream = served.attempt.response
    response = web.StreamResponse(headers=headers)
    response.content_type = upstream.content_type
    reader = UsageReader()
    failure: str | None = None
    try:
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            reader.feed(chunk)
            await response.write(chunk)
        await response.write_eof()
    except (aiohttp.ClientConnectionResetError, asyncio.CancelledError):
        failure = "the client left"
        raise
    except (aiohttp.ClientError, TimeoutError) as error:
        failure = f"broke off: {type(error).__name__}"
        await response.write(_BROKEN)
        await response.write_eof()
    finally:
        upstream.close()
        seconds = monotonic() - served.started
        if failure:
            await asyncio.shield(note.failed(served.attempt.model.name, failure))
        else:
            request.app[FLEET].answered(served.attempt, seconds)
            await note.answered(served.attempt, seconds, reader.usage())
    return response


class _Notes:
    """Writes outcomes of one decision; a request that named its model has none."""

    def __init__(self, request: web.Request, decision: Decision | None) -> None:
        self._engine = request.app[ENGINE]
        self._decision = decision

    async def failed(self, model: str, message: str) -> None:
        """Log that a call failed; never a quality observation."""
        await self._write(
            lambda id_: Outcome(seq=0, time=0.0, decision_id=id_, model=model, error=message[:500])
        )

    async def answered(self, attempt: Attempt, seconds: float, usage: Usage) -> None:
        """Log who answered, at what cost, how fast."""
        await self._write(
            lambda id_: Outcome(
                seq=0,
                time=0.0,
                decision_id=id_,
                model=attempt.model.name,
                cost_usd=usage.cost(attempt.model),
                latency_ms=1000.0 * seconds,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
            )
        )

    async def _write(self, make: Callable[[str], Outcome]) -> None:
        if self._decision is not None:
            await self._engine.outcome(make(self._decision.decision_id))


def _headers(decision: Decision | None, model: str | None = None) -> dict[str, str]:
    """The headers that say what happened; a name's odd characters are percent-encoded."""
    from urllib.parse import quote

    answered = model or (decision.model if decision else "")
    headers = {MODEL: quote(answered, safe="/@ []=():+.-_")}
    if decision is not None:
        headers |= {DECISION: decision.decision_id, CLUSTER: str(decision.cluster)}
    return headers


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/chat/completions",
        handler=chat,
        summary="Answer a conversation by the model that has earned it (OpenAI-compatible)",
        body=ChatRequest,
        errors=(502, 503),
    ),
    Operation(
        method="GET",
        path="/v1/models",
        handler=list_models,
        summary="List what can be asked for (OpenAI-compatible)",
        answer=ModelList,
        errors=(503,),
    ),
)
