"""The small client against a real service, beside the real SDKs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from service.upstreams import OpenAIProvider

import bandit_router.client
from bandit_router.client import AsyncClient, Client, RouterError, decision_id_of, wrap
from bandit_router.config import parse_config
from bandit_router.service import create_app
from bandit_router.service.app import SERVER
from bandit_router.service.keys import ENGINE

TALK: list[Any] = [{"role": "user", "content": "hello, world"}]
EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


@pytest.fixture
async def service(tmp_path: Path, embedder: Any) -> AsyncIterator[TestServer]:
    async with OpenAIProvider().served("/chat/completions") as provider:
        model = {"name": "m", "endpoints": [{"base_url": provider.url}]}
        app = create_app(parse_config({"models": [model]}), db=tmp_path / "db", embedder=embedder)
        server = TestServer(app)
        await server.start_server(**SERVER)
        await app[ENGINE].wait()
        yield server
        await server.close()


def said(service: TestServer, decision_id: str) -> Any:
    (feedback,) = service.app[ENGINE].router.history(decision_id).feedback
    return feedback


async def test_route_and_feedback(service: TestServer) -> None:
    url = str(service.make_url(""))

    def blocking() -> str:
        with Client(url) as client:
            routed = client.route("hello", session_id="s", cost_weight=None)
            assert (routed.model, routed.propensity, routed.feedback_url) == ("m", 1.0, None)
            assert client.feedback(routed.decision_id, reward=0.5, cost_usd=0.01) == "recorded"
            assert client.feedback(routed.decision_id, reward=0.5, cost_usd=0.01) == "duplicate"
            assert client.outcome(routed, rating="up", source="test") == "recorded"
            return client.route(TALK).decision_id

    assert await asyncio.to_thread(blocking)
    async with AsyncClient(url) as client:
        routed = await client.route(embedding=[1.0] * 48)
        assert await client.feedback(routed.decision_id, reward=1.0, source="a", weight=2) == (
            "recorded"
        )
        assert said(service, routed.decision_id).weight == 2
        with pytest.raises(RouterError) as refused:
            await client.feedback(routed.decision_id, reward=7)
        assert (refused.value.status, refused.value.field) == (422, "reward")
        with pytest.raises(RouterError) as unknown:
            await client.feedback("nobody", reward=1)
        assert unknown.value.status == 404


async def test_an_openai_client_says_how_it_went_in_one_line(service: TestServer) -> None:
    base = str(service.make_url("/v1"))
    async with openai.AsyncOpenAI(base_url=base, api_key="none") as client:
        router = wrap(client)
        create = client.chat.completions.create
        answer = await create(model="auto", messages=TALK)
        assert await router.outcome(answer, reward=0.75) == "recorded"
        assert said(service, decision_id_of(answer)).reward == 0.75
        stream = await create(model="auto", messages=TALK, stream=True)
        assert [chunk async for chunk in stream]
        assert await router.outcome(stream, rating="down") == "recorded"
        raw = await client.chat.completions.with_raw_response.create(model="auto", messages=TALK)
        assert await router.outcome(raw, reward=1.0) == "recorded"
        response = await client.responses.create(model="auto", input="hello")
        assert await router.outcome(response, reward=1.0) == "recorded"
        named = await create(model="m", messages=TALK)
        with pytest.raises(ValueError, match="no decision id in this ChatCompletion"):
            await router.outcome(named, reward=1.0)
        await router.close()


async def test_the_blocking_clients_too(service: TestServer) -> None:
    root = str(service.make_url("/")).rstrip("/")

    def blocking() -> None:
        with openai.OpenAI(base_url=f"{root}/v1", api_key="none") as client:
            answer = client.chat.completions.create(model="auto", messages=TALK)
            with wrap(client) as router:
                assert router.outcome(answer, reward=1.0) == "recorded"
        with anthropic.Anthropic(base_url=root, api_key="none") as other:
            message = other.messages.create(model="auto", messages=TALK, max_tokens=5)
            with wrap(other) as router:
                assert router.outcome(message, reward=1.0) == "recorded"

    await asyncio.to_thread(blocking)


class Moody:
    """Takes feedback, in ways that a network has."""

    def __init__(self, *moods: int | str) -> None:
        self.moods = list(moods)
        self.bodies: list[Any] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        mood = self.moods.pop(0)
        if mood == "reset":
            assert request.transport is not None
            request.transport.abort()
        if mood == 200:
            return web.json_response({"status": "duplicate"})
        return web.Response(
            status=int(mood) if mood != "reset" else 500, headers={"Retry-After": "0"}
        )


@pytest.mark.parametrize(
    ("moods", "status"),
    [
        ([503, "reset", 429, 200], "duplicate"),
        ([422], 422),
        ([500], 500),
        ([503] * 4, 503),
        (["reset"] * 4, None),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_feedback_is_tried_again(
    moods: list[Any], status: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bandit_router.client, "_BACKOFF_SECONDS", 0.001)
    moody = Moody(*moods)
    app = web.Application()
    app.router.add_post("/{path:.*}", moody.handle)
    async with TestServer(app) as server:
        url = str(server.make_url(""))

        async def tell() -> str:
            if kind == "async":
                async with AsyncClient(url) as client:
                    return await client.feedback("d", reward=1.0)
            with Client(url) as blocking:
                return await asyncio.to_thread(blocking.feedback, "d", reward=1.0)

        if isinstance(status, str):
            assert await tell() == status
        else:
            with pytest.raises(RouterError) as failed:
                await tell()
            assert failed.value.status == status
        assert not moody.moods
        assert len({str(body) for body in moody.bodies}) == 1


async def test_a_request_for_a_model_that_may_have_come_through_is_not_sent_twice() -> None:
    moody = Moody("reset", 200)
    app = web.Application()
    app.router.add_post("/{path:.*}", moody.handle)
    async with TestServer(app) as server, AsyncClient(str(server.make_url(""))) as client:
        with pytest.raises(RouterError, match="cannot be reached"):
            await client.route("hello")
    assert len(moody.bodies) == 1


@pytest.mark.parametrize("response", [object(), {}, None, {"headers": {}}, ""])
def test_what_has_no_decision(response: Any) -> None:
    with pytest.raises(ValueError, match="no decision id"):
        decision_id_of(response)


def test_it_imports_nothing_of_ours() -> None:
    code = "import bandit_router.client, sys; print(*[m for m in sys.modules if 'bandit_r' in m])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == ["bandit_router", "bandit_router.client"]


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("curl.sh", None),
        ("openai_sdk.py", "openai"),
        ("langchain_chat.py", "langchain_openai"),
        ("llamaindex_chat.py", "llama_index.llms.openai_like"),
    ],
)
async def test_examples(service: TestServer, name: str, needs: str | None) -> None:
    if needs is not None:
        pytest.importorskip(needs)
    program = "bash" if name.endswith(".sh") else sys.executable
    environ = {**os.environ, "ROUTER_URL": str(service.make_url("")).rstrip("/")}
    process = await asyncio.create_subprocess_exec(
        program, str(EXAMPLES / name), env=environ,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"recorded" in out
