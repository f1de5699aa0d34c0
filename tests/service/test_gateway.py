"""The OpenAI SDK as the client, small real servers as the upstream endpoints."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bandit_router.config import Config, parse_config
from bandit_router.service.keys import ENGINE
from bandit_router.types import Outcome

USAGE = {"prompt_tokens": 1000, "completion_tokens": 500}
TALK = [{"role": "user", "content": "how do I reverse a list"}]


class Upstream:
    """An endpoint that speaks the protocol, and misbehaves as told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mood = "good"
        self.seen: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.gate = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(body)
        self.keys.append(request.headers.get("Authorization"))
        if self.mood == "busy":
            self.mood = "good"
            return web.json_response({"error": {"message": "busy"}}, status=429)
        if self.mood == "down":
            return web.json_response({"error": {"message": "down"}}, status=503)
        if self.mood == "refuses":
            return web.json_response({"error": {"message": "no such thing"}}, status=400)
        if self.mood == "error under 200":
            return web.json_response({"error": {"message": "quota"}})
        if self.mood == "garbage":
            return web.Response(text="<html>", content_type="application/json")
        if self.mood == "hangs":
            await asyncio.sleep(30)
        if self.mood == "resets":
            assert request.transport is not None
            request.transport.abort()
        if body.get("stream"):
            return await self._stream(request)
        message = {"role": "assistant", "content": f"{self.name} says hi"}
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                **({} if self.mood == "silent about usage" else {"usage": USAGE}),
            }
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        await response.prepare(request)
        for word in ("one ", "two"):
            delta = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            await response.write(_event(choices=[delta]))
            if self.mood == "waits":
                await self.gate.wait()
            if self.mood == "breaks off":
                assert request.transport is not None
                request.transport.abort()
                return response
        await response.write(_event(choices=[], usage=USAGE))
        await response.write(b"data: [DONE]\n\n")
        return response


def _event(**fields: Any) -> bytes:
    base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**base, **fields})}\n\n".encode()


@pytest.fixture
async def upstreams() -> AsyncIterator[dict[str, Upstream]]:
    servers, out = [], {}
    for name in ("small", "large"):
        out[name] = upstream = Upstream(name)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", upstream.handle)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        upstream.url = str(server.make_url("/v1"))  # type: ignore[attr-defined]
    yield out
    for upstream in out.values():
        upstream.gate.set()
    for server in servers:
        await server.close()


def fleet(upstreams: dict[str, Upstream], **tables: Any) -> Config:
    models = [
        {
            "name": name,
            "input_usd_per_m": 1.0,
            "output_usd_per_m": 2.0,
            "endpoints": [{"base_url": upstream.url, "model": f"{name}-v1"}],  # type: ignore[attr-defined]
        }
        for name, upstream in upstreams.items()
    ]
    return parse_config(
        {
            "models": [*models, {"name": "routed only"}],
            "server": {"upstream_timeout_s": 0.5},
            "bandit": {"strategy": "fixed:small"},
            **tables,
        }
    )


Talk = Callable[..., Awaitable[Any]]


@pytest.fixture
async def gateway(start: Any, upstreams: dict[str, Upstream]) -> AsyncIterator[Any]:
    client = await start(fleet(upstreams))
    sdk = openai.AsyncOpenAI(base_url=str(client.make_url("/v1")), api_key="none", max_retries=0)
    sdk.service = client  # type: ignore[attr-defined]
    yield sdk
    await sdk.close()


async def ask(gateway: Any, model: str = "auto", **options: Any) -> Any:
    return await gateway.chat.completions.with_raw_response.create(
        model=model, messages=TALK, **options
    )


def outcomes(gateway: Any, raw: Any) -> tuple[Outcome, ...]:
    router = gateway.service.app[ENGINE].router
    return router.history(raw.headers["x-bandit-router-decision-id"]).outcomes


async def test_auto_routes_serves_and_learns_cost_and_latency(gateway: Any, upstreams: Any) -> None:
    raw = await ask(gateway, temperature=0.5)
    assert raw.parse().choices[0].message.content == "small says hi"
    assert raw.headers["x-bandit-router-model"] == "small"
    assert upstreams["small"].seen == [{"model": "small-v1", "messages": TALK, "temperature": 0.5}]
    (outcome,) = outcomes(gateway, raw)
    assert outcome.cost_usd == pytest.approx(1000 * 1e-6 + 500 * 2e-6)
    assert outcome.latency_ms is not None
    sent = {"decision_id": raw.headers["x-bandit-router-decision-id"], "rating": "up"}
    answer = await gateway.service.post("/feedback", json=sent)
    assert (await answer.json())["status"] == "recorded"


async def test_a_stream_is_passed_on_as_it_comes(gateway: Any, upstreams: Any) -> None:
    upstreams["small"].mood = "waits"
    raw = await ask(gateway, stream=True)
    stream = raw.parse()
    first = await asyncio.wait_for(anext(stream), 5)
    assert first.choices[0].delta.content == "one "  # the rest is not even written yet
    upstreams["small"].gate.set()
    words = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert words == ["two"]
    for _ in range(100):
        if outcomes(gateway, raw):
            break
        await asyncio.sleep(0.01)
    assert outcomes(gateway, raw)[0].completion_tokens == 500


async def test_a_named_model_is_served_as_asked_without_a_decision(gateway: Any) -> None:
    raw = await ask(gateway, "large")
    assert raw.parse().choices[0].message.content == "large says hi"
    assert "x-bandit-router-decision-id" not in raw.headers


@pytest.mark.parametrize("mood", ["down", "hangs", "resets", "garbage", "error under 200"])
async def test_a_bad_day_is_a_clean_failover_that_is_told(
    gateway: Any, upstreams: Any, mood: str
) -> None:
    upstreams["small"].mood = mood
    raw = await ask(gateway)
    assert raw.parse().choices[0].message.content == "large says hi"
    assert raw.headers["x-bandit-router-model"] == "large"
    router = gateway.service.app[ENGINE].router
    history = router.history(raw.headers["x-bandit-router-decision-id"])
    assert history.answered_by == "large"
    assert history.decision.model == "small"
    assert not history.feedback  # a failed call is never taken for bad quality


async def test_being_busy_once_is_tried_again(gateway: Any, upstreams: Any) -> None:
    upstreams["small"].mood = "busy"
    raw = await ask(gateway)
    assert raw.headers["x-bandit-router-model"] == "small"
    assert len(upstreams["small"].seen) == 2
    assert raw.headers["x-bandit-router-failed"] == "small"


async def test_what_the_provider_refuses_goes_back_to_the_client(
    gateway: Any, upstreams: Any
) -> None:
    upstreams["small"].mood = "refuses"
    with pytest.raises(openai.BadRequestError, match="no such thing"):
        await ask(gateway)
    assert not upstreams["large"].seen


async def test_all_endpoints_down_is_a_502(gateway: Any, upstreams: Any) -> None:
    for upstream in upstreams.values():
        upstream.mood = "down"
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(gateway)
    assert caught.value.status_code == 502
    assert caught.value.body["type"] == "upstream_error"  # type: ignore[index]


async def test_a_name_that_does_not_resolve_and_a_port_nobody_holds(start: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    urls = ["http://no-such-host.invalid/v1", f"http://127.0.0.1:{port}/v1"]
    urls += [f"https://127.0.0.1:{port}/v1"]
    models = [{"name": "m", "endpoints": [{"base_url": url} for url in urls]}]
    client = await start(parse_config({"models": models, "server": {"upstream_timeout_s": 2}}))
    answer = await client.post("/v1/chat/completions", json={"model": "auto", "messages": TALK})
    assert answer.status == 502


async def test_a_stream_that_breaks_off_says_so(gateway: Any, upstreams: Any) -> None:
    upstreams["small"].mood = "breaks off"
    raw = await ask(gateway, stream=True)
    with pytest.raises(openai.APIError, match="broke off"):
        async for _ in raw.parse():
            pass
    (outcome,) = outcomes(gateway, raw)
    assert outcome.error is not None


async def test_missing_usage_is_counted(gateway: Any, upstreams: Any) -> None:
    upstreams["small"].mood = "silent about usage"
    (outcome,) = outcomes(gateway, await ask(gateway))
    assert outcome.cost_usd is not None
    assert outcome.cost_usd > 0


@pytest.mark.parametrize(
    ("model", "status", "field"), [("routed only", 422, "model"), ("nobody", 422, "model")]
)
async def test_what_cannot_be_served(gateway: Any, model: str, status: int, field: str) -> None:
    body = {"model": model, "messages": TALK}
    answer = await gateway.service.post("/v1/chat/completions", json=body)
    assert answer.status == status
    assert (await answer.json())["error"]["field"] == field


async def test_keys_come_from_the_environment_and_go_nowhere_else(
    start: Any, upstreams: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = upstreams["small"].url
    models = [{"name": "m", "endpoints": [{"base_url": url, "api_key_env": "A_SECRET"}]}]
    client = await start(parse_config({"models": models}))
    body = {"model": "auto", "messages": TALK}
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status == 502
    assert "A_SECRET is not set" in (await answer.json())["error"]["message"]
    monkeypatch.setenv("A_SECRET", "s3cret")
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status == 200
    assert upstreams["small"].keys == ["Bearer s3cret"]
    log = b"".join(repr(e).encode() for e in client.app[ENGINE].store.events())
    assert b"s3cret" not in log + client.app[ENGINE].router.snapshot()


async def test_the_list_of_models(gateway: Any) -> None:
    listed = [model.id async for model in gateway.models.list()]
    assert listed == ["auto", "small", "large"]


async def test_the_demo_fleet_answers_the_sdk(start: Any) -> None:
    client = await start(parse_config({}), demo=True)
    sdk = openai.AsyncOpenAI(base_url=str(client.make_url("/v1")), api_key="none", max_retries=0)
    try:
        answer = await sdk.chat.completions.create(model="auto", messages=TALK)  # type: ignore[arg-type]
        assert "demo fleet" in (answer.choices[0].message.content or "")
        stream = await sdk.chat.completions.create(model="auto", messages=TALK, stream=True)  # type: ignore[call-overload]
        parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "demo fleet" in "".join(parts)
    finally:
        await sdk.close()


async def test_missing_usage_is_marked_as_an_estimate(gateway: Any, upstreams: Any) -> None:
    upstreams["small"].mood = "silent about usage"
    raw = await ask(gateway)
    assert raw.headers["x-bandit-router-usage"] == "estimated"
    (outcome,) = outcomes(gateway, raw)
    assert outcome.estimated
    id_ = raw.headers["x-bandit-router-decision-id"]
    why = await (await gateway.service.get(f"/decisions/{id_}")).json()
    assert why["outcome"]["estimated"] is True


async def test_a_change_of_price_is_seen_by_the_bandit(start: Any, upstreams: Any) -> None:
    client = await start(fleet(upstreams, bandit={"strategy": "thompson"}))
    body = {"model": "auto", "messages": TALK}

    async def expected() -> float:
        models = (await (await client.get("/models")).json())["models"]
        cost: float = models[0]["expected"]["cost_usd"]
        return cost

    for _ in range(20):
        assert (await client.post("/v1/chat/completions", json=body)).status == 200
    before = await expected()
    prices = {"input_usd_per_m": 10.0, "output_usd_per_m": 20.0}
    assert (await client.patch("/models/small", json=prices)).status == 200
    assert await expected() == pytest.approx(10 * before, rel=1e-6)


async def test_a_second_endpoint_takes_over_before_another_model(
    start: Any, upstreams: Any
) -> None:
    urls = [upstreams[name].url for name in ("small", "large")]
    ends = [
        {"base_url": url, "input_usd_per_m": price} for url, price in zip(urls, (1, 9), strict=True)
    ]
    model = {"name": "m", "input_usd_per_m": 5, "output_usd_per_m": 0, "endpoints": ends}
    client = await start(parse_config({"models": [model, {"name": "other", "endpoints": ends}]}))
    body = {"model": "m", "messages": TALK}
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.headers["x-bandit-router-endpoint"] in urls[0]
    assert float(answer.headers["x-bandit-router-cost-usd"]) == pytest.approx(1000 * 1e-6)
    upstreams["small"].mood = "down"
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.headers["x-bandit-router-model"] == "m"
    assert answer.headers["x-bandit-router-endpoint"] in urls[1]
    assert float(answer.headers["x-bandit-router-cost-usd"]) == pytest.approx(9000 * 1e-6)


async def test_a_profile_keeps_to_its_models(start: Any, upstreams: Any) -> None:
    profile = {"name": "thrifty", "models": ["large"]}
    client = await start(fleet(upstreams, profiles=[profile]))
    body = {"model": "thrifty", "messages": TALK}
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.headers["x-bandit-router-model"] == "large"
