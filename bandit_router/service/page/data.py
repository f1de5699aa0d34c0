"""What the pages ask for: the drawing, the past, where a prompt would go; and ``GET /events``."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from ...providers import Fleet
from ...router import Router
from ...types import Request
from .. import body
from ..errors import Refused
from ..explain import decision_answer
from ..keys import ENGINE, FLEET, WATCH
from ..wire import NonNegative

PING_SECONDS = 15.0


class Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A prompt that is only asked about: nothing is decided, logged or learnt."""

    prompt: str
    cost_weight: NonNegative | None = None


async def places(request: web.Request) -> web.Response:
    """Return where clusters are drawn."""
    return _json(await request.app[WATCH].places())


async def growth(request: web.Request) -> web.Response:
    """Return the log, to replay."""
    await request.app[ENGINE].wait()
    return _json(await request.app[WATCH].growth())


async def story(request: web.Request) -> web.Response:
    """Return the past of a cluster."""
    text = request.match_info["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Refused(404, f"no cluster {text!r}")
    await request.app[ENGINE].wait()
    return _json(await request.app[WATCH].story(int(text)))


async def overview(request: web.Request) -> web.Response:
    """Return what the overview shows."""
    router = await request.app[ENGINE].wait()
    found = await request.app[WATCH].overview()
    terms = router.utility()
    found["budget"] = msgspec.to_builtins(router.settings.budget)
    found["cost_weight"] = terms.cost_weight
    found["reference_cost_usd"] = terms.reference_cost_usd
    found["order"] = list(router.models)
    found["strategy"] = router.settings.bandit.strategy
    found["providers"] = _providers(router, request.app[FLEET])
    for source in found["sources"]:
        source["reliability"] = router.sources.reliability(source["source"])
    return _json(found)


async def samples(request: web.Request) -> web.Response:
    """Return prompts to try the demo with; none where real models answer."""
    return _json({"prompts": request.app[ENGINE].samples})


async def where(request: web.Request) -> web.Response:
    """Say where a prompt would go and why; nothing is written."""
    engine = request.app[ENGINE]
    asked = await body.read(request, Where)
    limit = engine.config.settings.server.max_prompt_chars
    if not asked.prompt.strip() or len(asked.prompt) > limit:
        raise Refused(422, f"prompt must hold 1 to {limit:,} characters", "prompt")
    decision = await engine.consider(asked.prompt, Request(cost_weight=asked.cost_weight))
    return body.answer(decision_answer(decision))


async def events(request: web.Request) -> web.StreamResponse:
    """Stream what happens as server-sent events: `hello`, then `tick` or `idle` every second."""
    watch = request.app[WATCH]
    hello = await watch.now()
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    queue = watch.subscribe()
    try:
        await response.prepare(request)
        await response.write(_event(*hello))
        while True:
            try:
                message = await asyncio.wait_for(queue.get(), PING_SECONDS)
            except TimeoutError:
                await response.write(b": still here\n\n")
                continue
            if message is None:
                break
            await response.write(_event(*message))
    except (ConnectionError, asyncio.CancelledError):
        pass  # the reader has gone
    finally:
        watch.unsubscribe(queue)
    return response


def _providers(router: Router, fleet: Fleet) -> list[dict[str, object]]:
    now = fleet.infirmary.clock()
    return [
        {
            "model": model.name,
            "endpoint": endpoint.base_url,
            "state": health.state(now),
            "latency_s": health.latency[0] or health.latency[1],
            "calls": dict(health.counts),
        }
        for model in router.models.values()
        for endpoint in model.endpoints
        for health in (fleet.infirmary.of(model, endpoint),)
    ]


def _event(name: str, data: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def _json(data: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(data), content_type="application/json")


DATA = (
    web.get("/events", events),
    web.get("/map/data/places", places),
    web.get("/map/data/growth", growth),
    web.get("/map/data/overview", overview),
    web.get("/map/data/samples", samples),
    web.get("/map/data/clusters/{id}", story),
    web.post("/map/data/where", where),
)
